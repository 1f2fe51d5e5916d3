import Basics
import Shards

/// A data set that training can use: every record of one size, with the fields that the network reads.
public struct TrainingData: Sendable {
    public let dataSet: DataSet
    public let height: Int
    public let width: Int
    public let hasDisparity: Bool
    public let rootHash: String

    /// - Throws: `Failure` (bad data) naming the data set and the remedy.
    public init(path: String, fields: [String]) throws {
        dataSet = try DataSet(path: path)
        guard dataSet.count(.train) > 0 else {
            throw Failure(.badData, "\(path): has no training records; convert with --split that leaves some")
        }
        var size: (height: Int, width: Int)?
        for name in fields {
            guard let field = dataSet.manifest.fields.first(where: { $0.name == name }) else {
                let names = dataSet.manifest.fields.map(\.name).joined(separator: ", ")
                throw Failure(.badData, "\(path): records have no field '\(name)', only \(names); use another data set")
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
        (height, width) = size
        hasDisparity = dataSet.manifest.fields.contains { $0.name == FieldName.disparity }
        rootHash = dataSet.manifest.rootHash
    }
}
