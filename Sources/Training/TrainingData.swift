import Basics
import Heartbeats
import Models
import Shards
import Streaming

/// A data set that training can use: every record of one size, with the fields that the network reads.
public struct TrainingData: Sendable {
    public let dataSet: DataSet
    /// Size at which the network works; records may be larger, and are then cut.
    public let height: Int
    public let width: Int
    public let rootHash: String
    /// What a training step reads.
    public let trainingFields: [StreamedField]
    /// What estimating statistics reads.
    public let inputFields: [StreamedField]
    /// What a validation reads: all that is there.
    public let validationFields: [StreamedField]

    /// In what proportions several sets are read; nil: all records alike.
    public let mix: SampleMix?

    /// - Parameters:
    ///   - path: a folder, or several sets (`DataMixture`).
    ///   - size: what the run works on; nil is the network's only size, or the records' own.
    ///   - local: where copies of shards are kept.
    /// - Throws: `Failure` (bad data) naming the data set and the remedy.
    public init(
        path: String, network: any Network, size: (height: Int, width: Int)? = nil, local: LocalShards? = nil
    ) throws {
        // Before it is compared with records, which would have to be converted to it.
        if let size { try network.check(height: size.height, width: size.width) }
        try self.init(
            path: path, fields: network.graphFields.map(\.streamed), truths: network.fields.map(\.streamed),
            inputs: network.inputs.map(\.streamed), size: size ?? network.fixedSize, local: local)
    }

    /// Of fields alone, for measuring how fast they are read.
    public init(path: String, fields: [StreamedField]) throws {
        try self.init(path: path, fields: fields, truths: fields, inputs: fields, size: nil, local: nil)
    }

    private init(
        path: String, fields: [StreamedField], truths: [StreamedField], inputs: [StreamedField],
        size wanted: (height: Int, width: Int)?, local: LocalShards?
    ) throws {
        let mixture = try DataMixture(path)
        dataSet = try DataSet(paths: mixture.parts.map(\.path), local: local)
        guard dataSet.count(.train) > 0 else {
            throw Failure(.badData, "\(path): has no training records; convert with --split that leaves some")
        }
        let manifest = dataSet.manifest
        let sources = dataSet.sources
        func stored(_ field: StreamedField, in manifest: Manifest) -> Manifest.FieldSummary? {
            field.candidates.lazy.compactMap { name in manifest.fields.first { $0.name == name } }.first
        }
        /// Only what all sets have.
        func stored(_ field: StreamedField) -> Manifest.FieldSummary? {
            sources.allSatisfy { stored(field, in: $0.manifest) != nil } ? stored(field, in: manifest) : nil
        }
        var size: (height: Int, width: Int)?
        for required in fields where !required.isOptional {
            let name = required.name
            guard let field = stored(required) else {
                let lacking = sources.first { stored(required, in: $0.manifest) == nil } ?? sources[0]
                let names = lacking.manifest.fields.map(\.name).joined(separator: ", ")
                throw Failure(
                    .badData, "\(lacking.path): records have no field '\(name)', only \(names); use another data set")
            }
            let (heights, widths) = (field.heights, field.widths)
            guard heights.lowerBound == heights.upperBound, widths.lowerBound == widths.upperBound else {
                throw Failure(
                    .badData,
                    "\(path): records have sizes from \(heights.lowerBound)x\(widths.lowerBound) to "
                        + "\(heights.upperBound)x\(widths.upperBound); convert them to one size with --size HxW")
            }
            let own = (height: heights.lowerBound, width: widths.lowerBound)
            if let size, size != own {
                throw Failure(
                    .badData,
                    "\(path): '\(name)' is \(own.height)x\(own.width), other fields are "
                        + "\(size.height)x\(size.width); convert them to one size with --size HxW")
            }
            size = own
        }
        guard let size else { preconditionFailure("a network without inputs") }
        (height, width) = wanted ?? size
        guard height <= size.height, width <= size.width else {
            throw Failure(
                .badData,
                "\(path): records are \(size.height)x\(size.width), smaller than \(height)x\(width) on which the run "
                    + "works; convert them with --size \(height)x\(width)")
        }
        trainingFields = fields
        inputFields = inputs
        validationFields = truths.filter { stored($0) != nil }
        if mixture.isWeighted {
            let counts = sources.map { $0.manifest.recordCount(.train) }
            if let empty = counts.firstIndex(of: 0) {
                throw Failure(.badData, "\(sources[empty].path): has no training records; leave it out of the mixture")
            }
            let mix = SampleMix(counts: counts, weights: mixture.parts.map { $0.weight ?? 1 })
            self.mix = mix
            // Another weight is another run.
            rootHash = DataSet.hash(of: zip(sources, mix.sources).map { "\($0.manifest.rootHash) \($1.quota)" })
        } else {
            mix = nil
            rootHash = dataSet.rootHash
        }
    }

    /// Whether records have what a map is measured against.
    public func has(_ truth: String) -> Bool { validationFields.contains { $0.name == truth } }

    /// Training records from which statistics are estimated: the first `limit`, of a mixture the first of each set
    /// according to its share.
    func statisticsRecords(limit: Int) -> [Int] {
        guard let mix else { return Array(0..<min(dataSet.count(.train), limit)) }
        return mix.sources.flatMap { source in
            let share = min(source.count, max(1, limit * source.quota / mix.cycle))
            return source.start..<(source.start + share)
        }
    }

    /// Settings of a loader that reads `fields` and changes nothing by chance.
    func loaderSettings(_ fields: [StreamedField], board: StatusBoard? = nil) -> BatchLoader.Settings {
        var settings = BatchLoader.Settings(height: height, width: width, fields: fields)
        settings.augmentation = .centered
        settings.board = board
        return settings
    }
}
