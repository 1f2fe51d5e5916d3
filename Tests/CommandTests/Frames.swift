import Basics
import Foundation
import FrameSources
import Shards
import Testing

extension Workspace {
    /// Writes records of a data set as pictures that hold both views side by side: what people bring.
    func writeFrames(_ folder: String, of name: String, count: Int) throws {
        let data = try DataSet(path: path(name))
        try FileManager.default.createDirectory(atPath: path(folder), withIntermediateDirectories: true)
        for index in 0..<count {
            let record = try data.record(.train, index)
            let (left, right) = (try #require(record["left"]), try #require(record["right"]))
            let row = left.width * left.channels
            var bytes: [UInt8] = []
            for y in 0..<left.height {
                for view in [left, right] { bytes += view.bytes[(y * row)..<((y + 1) * row)] }
            }
            let frame = PixelArray(
                height: left.height, width: 2 * left.width, channels: left.channels, element: .uint8, bytes: bytes)
            try ImageFile.write(frame, to: path(folder + String(format: "/%05d.png", index)))
        }
    }
}
