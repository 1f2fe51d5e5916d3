/// Multi-picture files of stereo cameras: several JPEGs in one, of which a JPEG decoder sees the first.
///
/// **Source:** CIPA DC-007, Multi-Picture Format, sections 5.2 (index IFD) and 5.2.3.3.1 (type codes).
enum MPO {
    /// How many views of one scene a JPEG file says it holds; 0 for an ordinary one, also where further pictures are
    /// previews of the first.
    static func viewCount(_ file: [UInt8]) -> Int {
        guard let index = index(of: file) else { return 0 }
        func number(_ offset: Int, _ byteCount: Int) -> Int? {
            guard offset >= 0, offset <= index.bytes.count - byteCount else { return nil }
            let part = index.bytes[(index.bytes.startIndex + offset)...].prefix(byteCount)
            return (index.isLittleEndian ? Array(part.reversed()) : Array(part)).reduce(0) { $0 << 8 | Int($1) }
        }
        guard let directory = number(4, 4), let count = number(directory, 2) else { return 0 }
        for entry in 0..<count {
            let place = directory + 2 + 12 * entry
            guard let tag = number(place, 2) else { return 0 }
            // The list of pictures: 16 bytes each, the first four with the type in their lower 24 bits.
            guard tag == 0xB002 else { continue }
            guard let byteCount = number(place + 4, 4), let start = number(place + 8, 4) else { return 0 }
            let types = (0..<min(byteCount / 16, 64)).compactMap { number(start + 16 * $0, 4).map { $0 & 0xFF_FFFF } }
            // 0x020002: views of one scene from different places.
            return types.count { $0 == 0x02_0002 }
        }
        return 0
    }

    /// The content of the segment APP2 "MPF" before the picture's data, from its byte order on.
    private static func index(of file: [UInt8]) -> (bytes: ArraySlice<UInt8>, isLittleEndian: Bool)? {
        var offset = 2
        while offset + 4 <= file.count, file[offset] == 0xFF, file[offset + 1] != 0xDA {
            let byteCount = Int(file[offset + 2]) << 8 | Int(file[offset + 3])
            guard byteCount >= 2, offset + 2 + byteCount <= file.count else { return nil }
            let content = file[(offset + 4)..<(offset + 2 + byteCount)]
            if file[offset + 1] == 0xE2, content.starts(with: [0x4D, 0x50, 0x46, 0]), content.count >= 12 {
                let tiff = content.dropFirst(4)
                if tiff.starts(with: [0x49, 0x49, 0x2A, 0]) { return (tiff, true) }
                if tiff.starts(with: [0x4D, 0x4D, 0, 0x2A]) { return (tiff, false) }
                return nil
            }
            offset += 2 + byteCount
        }
        return nil
    }
}
