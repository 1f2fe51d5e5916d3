import Basics
import Glibc

/// Points in space of a depth map, as other tools read them.
public enum PointCloud {
    /// Writes a binary PLY: per point x (right), y (down), z (ahead) in metres as float32, then red, green, blue in 8 bits.
    /// Pixels of unknown depth, and of depths beyond `farthest`, are left out.
    ///
    /// x = (column − cx) · z / focal, y = (row − cy) · z / focal.
    ///
    /// **Source:** G. Turk, The PLY Polygon File Format, 1994.
    /// - Parameters:
    ///   - depth: `[h, w, 1]` float32, metres.
    ///   - picture: of the same pixels, gray or RGB of 8 or 16 bits.
    ///   - principalPoint: pixels; nil: the middle.
    /// - Returns: how many points there are.
    /// - Throws: `FileError` (74).
    @discardableResult
    public static func write(
        depth: PixelArray, picture: PixelArray, focalLengthPixels: Float, principalPoint: SIMD2<Float>? = nil,
        farthest: Float, to path: String
    ) throws -> Int {
        precondition(
            depth.height == picture.height && depth.width == picture.width && focalLengthPixels > 0,
            "a depth map of \(depth.width)x\(depth.height) for a picture of \(picture.width)x\(picture.height)")
        let (height, width) = (depth.height, depth.width)
        let colours = ContactSheet.displayable(picture)
        let (cx, cy) = (principalPoint?.x ?? Float(width - 1) / 2, principalPoint?.y ?? Float(height - 1) / 2)
        return try depth.withFloats { values in
            func isPoint(_ z: Float) -> Bool { z.isFinite && z > 0 && z <= farthest }
            let count = values.count { isPoint($0) }
            let writer = try AtomicFileWriter(path: path)
            try writer.write(
                """
                ply
                format binary_little_endian 1.0
                comment x right, y down, z ahead, metres
                element vertex \(count)
                property float x
                property float y
                property float z
                property uchar red
                property uchar green
                property uchar blue
                end_header

                """)
            var row: [UInt8] = []
            for y in 0..<height {
                row.removeAll(keepingCapacity: true)
                for x in 0..<width {
                    let z = values[y * width + x]
                    guard isPoint(z) else { continue }
                    let point = [(Float(x) - cx) * z / focalLengthPixels, (Float(y) - cy) * z / focalLengthPixels, z]
                    for value in point { withUnsafeBytes(of: value.bitPattern.littleEndian) { row += $0 } }
                    row += colours.bytes[((y * width + x) * 3)..<((y * width + x) * 3 + 3)]
                }
                try writer.write(row)
            }
            try writer.publish()
            return count
        }
    }
}
