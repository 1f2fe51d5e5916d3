import Basics
import Foundation

/// A part of a data set. The raw value is on disk and in shard names.
public enum Split: String, Sendable, CaseIterable, Hashable {
    case train
    case val
    case test
}

/// What a data set consists of: `manifest.json` in its folder, written last. FORMAT.md specifies it.
public struct Manifest: Sendable, Equatable {
    public static let fileName = "manifest.json"
    public static let version = 1
    static let format = "vergence data set"
    /// Bytes that a manifest may have: about 400,000 shards.
    static let byteLimit = 64 << 20
    /// Field names in a whole data set.
    static let fieldLimit = 1024

    /// All records' fields of one name.
    public struct FieldSummary: Sendable, Equatable {
        public let name: String
        /// Sorted by code; more than one if records differ.
        public var elements: [ElementType]
        public var channels: [Int]
        public var recordCount: Int
        public var heights: ClosedRange<Int>
        public var widths: ClosedRange<Int>
        /// Bytes of the arrays and in the shards.
        public var byteCount: Int
        public var storedByteCount: Int
    }

    public let shards: [ShardSummary]
    /// Names of each split's shards, in record order. Every shard belongs to exactly one split.
    public let splits: [Split: [String]]
    public let fields: [FieldSummary]
    /// Where the records come from: layout and options. No time, host or absolute path.
    public let provenance: [String: String]

    public func recordCount(_ split: Split) -> Int {
        let names = Set(splits[split] ?? [])
        return shards.reduce(0) { names.contains($1.name) ? $0 + $1.recordCount : $0 }
    }

    /// 32 hexadecimal digits that identify the whole data set: the hash of everything in the manifest, which holds the
    /// hash of every shard.
    public var rootHash: String {
        String(
            encoded().split(separator: "\n").last { $0.contains("root_xxh3_128") }?.split(separator: "\"").last ?? "")
    }

    // MARK: writing

    /// The file's content. Equal manifests have equal bytes.
    func encoded() -> String {
        var lines: [String] = ["{"]
        lines.append("  \"format\": \(Self.quoted(Self.format)),")
        lines.append("  \"version\": \(Self.version),")
        let provenanceLines = provenance.sorted { $0.key < $1.key }
            .map { "    \(Self.quoted($0.key)): \(Self.quoted($0.value))" }
        lines.append("  \"provenance\": {\n\(provenanceLines.joined(separator: ",\n"))\n  },")
        let fieldLines = fields.map { field in
            let elements = field.elements.map { Self.quoted($0.name) }.joined(separator: ", ")
            let channels = field.channels.map(String.init).joined(separator: ", ")
            return
                "    {\"name\": \(Self.quoted(field.name)), \"elements\": [\(elements)], \"channels\": [\(channels)], "
                + "\"records\": \(field.recordCount), "
                + "\"heights\": [\(field.heights.lowerBound), \(field.heights.upperBound)], "
                + "\"widths\": [\(field.widths.lowerBound), \(field.widths.upperBound)], "
                + "\"bytes\": \(field.byteCount), \"stored_bytes\": \(field.storedByteCount)}"
        }
        lines.append("  \"fields\": [\n\(fieldLines.joined(separator: ",\n"))\n  ],")
        let splitLines = Split.allCases.map { split in
            let names = (splits[split] ?? []).map(Self.quoted).joined(separator: ", ")
            return "    \"\(split.rawValue)\": {\"records\": \(recordCount(split)), \"shards\": [\(names)]}"
        }
        lines.append("  \"splits\": {\n\(splitLines.joined(separator: ",\n"))\n  },")
        let shardLines = shards.map {
            "    {\"name\": \(Self.quoted($0.name)), \"bytes\": \($0.byteCount), \"records\": \($0.recordCount), "
                + "\"xxh3_128\": \"\($0.hash)\", \"index_xxh3_64\": \"\($0.indexHash)\"}"
        }
        lines.append("  \"shards\": [\n\(shardLines.joined(separator: ",\n"))\n  ],")
        let body = lines.joined(separator: "\n") + "\n"
        return body + Self.rootLine(over: Array(body.utf8))
    }

    private static func rootLine(over body: [UInt8]) -> String {
        "  \"root_xxh3_128\": \"\(body.withUnsafeBytes { Hash.xxh128($0) })\"\n}\n"
    }

    static func quoted(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": result += "\\\""
            case "\\": result += "\\\\"
            case _ where scalar.value < 0x20 || scalar.value == 0x7F:
                let digits = String(scalar.value, radix: 16)
                result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result + "\""
    }

    // MARK: reading

    /// Reads and validates the manifest of the data set in `folder`.
    /// - Throws: `FileError` (66, 74), `ShardError` (65).
    public init(folder: String) throws {
        let path = folder + "/" + Self.fileName
        if !Files.exists(path) {
            let problem =
                Files.isFolder(folder) ? "no \(Self.fileName) in this folder, so it is no data set" : "no such folder"
            throw ShardError(
                path: folder, problem, remedy: "make one with 'vergence-shards convert' or 'synth'",
                exitCode: .missingInput)
        }
        try self.init(decoding: try Files.read(path, limit: Self.byteLimit), path: path)
    }

    /// Validates bytes that somebody else wrote.
    init(decoding bytes: [UInt8], path: String) throws {
        func refuse(_ problem: String) -> ShardError { ShardError(path: path, problem) }
        // The root hash is the last line and covers every byte before it, so it is checked before anything is parsed.
        let rootByteCount = Self.rootLine(over: []).utf8.count
        guard bytes.count > rootByteCount else { throw refuse("\(bytes.count) bytes are no manifest") }
        let body = Array(bytes[..<(bytes.count - rootByteCount)])
        guard bytes[(bytes.count - rootByteCount)...].elementsEqual(Self.rootLine(over: body).utf8) else {
            throw refuse("the root hash on its last line does not match its content")
        }
        let file: ManifestFile
        do {
            file = try JSONDecoder().decode(ManifestFile.self, from: Data(bytes))
        } catch {
            throw refuse("it is not the JSON of a manifest (\(ManifestFile.brief(error)))")
        }
        guard file.format == Self.format, file.version == Self.version else {
            throw ShardError(
                path: path,
                "format '\(ShardError.printable(file.format))' version \(file.version), expected '\(Self.format)' "
                    + "version \(Self.version)", remedy: "use a newer program or convert the data again")
        }
        var counts: [String: Int] = [:]
        var totalByteCount = 0
        var total = 0
        for shard in file.shards {
            guard Self.isSafeName(shard.name) else {
                throw refuse(
                    "shard name '\(ShardError.printable(shard.name))' is not a plain file name inside the folder")
            }
            guard counts.updateValue(shard.records, forKey: shard.name) == nil else {
                throw refuse("shard '\(shard.name)' is listed twice")
            }
            guard (1...ShardLimits.recordsPerShard).contains(shard.records),
                shard.bytes >= ShardLayout.minimumByteCount, shard.bytes <= Int.max >> 16
            else { throw refuse("shard '\(shard.name)' has \(shard.records) records in \(shard.bytes) bytes") }
            guard Self.isHexadecimal(shard.xxh3_128, 32), Self.isHexadecimal(shard.index_xxh3_64, 16) else {
                throw refuse("shard '\(shard.name)' has a hash that is not hexadecimal")
            }
            total += shard.records
            let (sum, overflow) = totalByteCount.addingReportingOverflow(shard.bytes)
            guard !overflow else { throw refuse("its shards have more bytes than any disk") }
            totalByteCount = sum
        }
        guard file.fields.count <= Self.fieldLimit else { throw refuse("\(file.fields.count) fields") }
        var splits: [Split: [String]] = [:]
        var seen: Set<String> = []
        for (name, part) in file.splits.sorted(by: { $0.key < $1.key }) {
            guard let split = Split(rawValue: name) else {
                throw refuse("unknown split '\(ShardError.printable(name))', expected train, val or test")
            }
            var records = 0
            for shard in part.shards {
                guard let count = counts[shard], seen.insert(shard).inserted else {
                    throw refuse(
                        "split '\(name)' lists shard '\(ShardError.printable(shard))', which is unknown or already used"
                    )
                }
                records += count
            }
            guard records == part.records else {
                throw refuse("split '\(name)' says \(part.records) records, its shards have \(records)")
            }
            splits[split] = part.shards
        }
        guard seen.count == file.shards.count else { throw refuse("a shard belongs to no split") }
        shards = file.shards.map {
            ShardSummary(
                name: $0.name, byteCount: $0.bytes, recordCount: $0.records, hash: $0.xxh3_128,
                indexHash: $0.index_xxh3_64)
        }
        self.splits = Self.withAllSplits(splits)
        fields = try file.fields.map { field in
            guard let summary = field.summary, (1...max(1, total)).contains(field.records),
                summary.byteCount <= Int.max >> 16, summary.storedByteCount <= Int.max >> 16
            else {
                throw refuse("the summary of field '\(ShardError.printable(field.name))' is not valid")
            }
            return summary
        }
        provenance = file.provenance
    }

    private static func withAllSplits(_ splits: [Split: [String]]) -> [Split: [String]] {
        Split.allCases.reduce(into: [:]) { $0[$1] = splits[$1] ?? [] }
    }

    init(shards: [ShardSummary], splits: [Split: [String]], fields: [FieldSummary], provenance: [String: String]) {
        self.shards = shards
        self.splits = Self.withAllSplits(splits)
        self.fields = fields
        self.provenance = provenance
    }

    /// Of several data sets as one, in this order; shards are named `NUMBER/NAME`. It is in memory only.
    init(joining manifests: [Manifest]) {
        var shards: [ShardSummary] = []
        var splits: [Split: [String]] = [:]
        var fields: [FieldSummary] = []
        for (number, manifest) in manifests.enumerated() {
            shards += manifest.shards.map {
                ShardSummary(
                    name: "\(number)/\($0.name)", byteCount: $0.byteCount, recordCount: $0.recordCount, hash: $0.hash,
                    indexHash: $0.indexHash)
            }
            for (split, names) in manifest.splits { splits[split, default: []] += names.map { "\(number)/\($0)" } }
            for field in manifest.fields {
                guard let place = fields.firstIndex(where: { $0.name == field.name }) else {
                    fields.append(field)
                    continue
                }
                fields[place].elements = Set(fields[place].elements + field.elements).sorted {
                    $0.rawValue < $1.rawValue
                }
                fields[place].channels = Set(fields[place].channels + field.channels).sorted()
                fields[place].recordCount += field.recordCount
                fields[place].byteCount += field.byteCount
                fields[place].storedByteCount += field.storedByteCount
                let (heights, widths) = (fields[place].heights, fields[place].widths)
                fields[place].heights =
                    min(
                        heights.lowerBound, field.heights.lowerBound)...max(
                        heights.upperBound, field.heights.upperBound)
                fields[place].widths =
                    min(widths.lowerBound, field.widths.lowerBound)...max(widths.upperBound, field.widths.upperBound)
            }
        }
        let provenance = Dictionary(
            manifests.enumerated().map { ("source-\($0)", $1.rootHash) }, uniquingKeysWith: { first, _ in first })
        self.init(shards: shards, splits: splits, fields: fields, provenance: provenance)
    }

    /// Letters, digits, '.', '_' and '-', not beginning with '.' or '-': can't leave the folder or look like an option.
    static func isSafeName(_ name: String) -> Bool {
        let bytes = Array(name.utf8)
        guard (1...200).contains(bytes.count), let first = bytes.first, first != UInt8(ascii: "."),
            first != UInt8(ascii: "-")
        else { return false }
        return bytes.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "-"):
                true
            default: false
            }
        }
    }

    private static func isHexadecimal(_ text: String, _ count: Int) -> Bool {
        text.utf8.count == count
            && text.utf8.allSatisfy {
                (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0)
                    || (UInt8(ascii: "a")...UInt8(ascii: "f")).contains($0)
            }
    }
}

/// The JSON as it stands in the file, before anything in it is believed.
private struct ManifestFile: Decodable {
    struct Shard: Decodable {
        let name: String
        let bytes: Int
        let records: Int
        let xxh3_128: String
        let index_xxh3_64: String
    }

    struct Part: Decodable {
        let records: Int
        let shards: [String]
    }

    struct Field: Decodable {
        let name: String
        let elements: [String]
        let channels: [Int]
        let records: Int
        let heights: [Int]
        let widths: [Int]
        let bytes: Int
        let stored_bytes: Int

        var summary: Manifest.FieldSummary? {
            let types = elements.compactMap { name in ElementType.allCases.first { $0.name == name } }
            let sides = 1...ShardLimits.side
            guard RecordHeader.isValid(name, limit: ShardLimits.fieldNameBytes), !types.isEmpty,
                types.count == elements.count, !channels.isEmpty,
                channels.allSatisfy((1...ShardLimits.channels).contains), heights.count == 2, widths.count == 2,
                (heights + widths).allSatisfy(sides.contains), heights[0] <= heights[1], widths[0] <= widths[1],
                bytes >= 0, stored_bytes >= 0
            else { return nil }
            return Manifest.FieldSummary(
                name: name, elements: types, channels: channels, recordCount: records,
                heights: heights[0]...heights[1], widths: widths[0]...widths[1], byteCount: bytes,
                storedByteCount: stored_bytes)
        }
    }

    let format: String
    let version: Int
    let provenance: [String: String]
    let fields: [Field]
    let splits: [String: Part]
    let shards: [Shard]

    /// One line of a decoding error.
    static func brief(_ error: any Error) -> String {
        guard let error = error as? DecodingError else { return "not JSON" }
        switch error {
        case .keyNotFound(let key, _): return "'\(key.stringValue)' is missing"
        case .typeMismatch(_, let context), .valueNotFound(_, let context):
            let place = context.codingPath.map { $0.intValue.map(String.init) ?? $0.stringValue }.joined(separator: ".")
            return "'\(ShardError.printable(place))' has the wrong type"
        case .dataCorrupted: return "not JSON"
        @unknown default: return "not JSON"
        }
    }
}
