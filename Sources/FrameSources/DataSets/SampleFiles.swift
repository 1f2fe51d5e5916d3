import Basics

/// What a sample is made of, by path, to be read when its turn comes. Readers of data sets list these.
struct SampleFiles {
    /// A field that is read from a file and must fit the first picture.
    struct Map {
        let field: String
        let path: String
        /// (path, first picture) → field.
        let read: @Sendable (String, PixelArray) throws -> PixelArray

        init(_ field: String, _ path: String, _ read: @escaping @Sendable (String, PixelArray) throws -> PixelArray) {
            self.field = field
            self.path = path
            self.read = read
        }
    }

    let key: String
    var part: FrameItem.Part?
    var group: String?
    /// `left` and `right`, or one picture.
    let views: @Sendable () throws -> [Record.Field]
    var maps: [Map] = []
    var calibration: (@Sendable () throws -> Calibration)?

    static func pair(_ key: String, left: String, right: String) -> SampleFiles {
        SampleFiles(key: key) {
            try PairLoader.require(left)
            try PairLoader.require(right)
            return try PairLoader.views(left: left, right: right)
        }
    }

    static func picture(_ key: String, _ field: String, _ path: String) -> SampleFiles {
        SampleFiles(key: key) {
            try PairLoader.require(path)
            return [Record.Field(field, try PairLoader.picture(path))]
        }
    }

    init(key: String, views: @escaping @Sendable () throws -> [Record.Field]) {
        self.key = key
        self.views = views
    }

    var item: FrameItem {
        let (key, views, calibration) = (key, views, calibration)
        let maps = maps.map { ($0.field, $0.path, $0.read) }
        return FrameItem(key: key, part: part, group: group) {
            var fields = try views()
            let view = fields[0].array
            for (field, path, read) in maps {
                try PairLoader.require(path)
                fields.append(Record.Field(field, try read(path, view)))
            }
            if let calibration { fields.append(try calibration().field) }
            return Record(key: key, fields: fields)
        }
    }
}

/// How the maps of several data sets are encoded.
extension PairLoader {
    /// Disparity that is `sample / divisor`, or floats.
    static func disparityMap(divisor: Float) -> @Sendable (String, PixelArray) throws -> PixelArray {
        { path, view in try disparity(path, divisor: divisor, like: view) }
    }

    /// Masks of 8 bits: 255 where `isVisible`, else 0.
    static func mask(_ isVisible: @escaping @Sendable (UInt8) -> Bool)
        -> @Sendable (String, PixelArray) throws -> PixelArray
    {
        { path, view in
            let array = try ImageFile.read(path)
            try requireMap(array, path, like: view, "mask")
            guard array.element == .uint8 else {
                throw ImageError(path: path, "a mask of \(array.element.name)", remedy: "masks have 8 bits")
            }
            return PixelArray(
                height: array.height, width: array.width, channels: 1, element: .uint8,
                bytes: array.bytes.map { isVisible($0) ? 255 : 0 })
        }
    }

    /// 8 bits as they are.
    static func numbers(_ path: String, like view: PixelArray) throws -> PixelArray {
        let array = try ImageFile.read(path)
        try requireMap(array, path, like: view, "map of objects")
        guard array.element == .uint8 else {
            throw ImageError(path: path, "object numbers of \(array.element.name)", remedy: "they have 8 bits")
        }
        return array
    }

    /// Depth in metres: `sample / divisor` with 0 unknown, or floats with everything that is not positive unknown.
    /// - Parameter divisors: Steps per metre of 8 and of 16 bits.
    static func depth(_ path: String, divisors: (byte: Float, word: Float), like view: PixelArray) throws
        -> PixelArray
    {
        let array = try ImageFile.read(path)
        try requireMap(array, path, like: view, "depth map")
        let floats: [Float]
        switch array.element {
        case .uint8: floats = array.bytes.map { $0 == 0 ? .nan : Float($0) / divisors.byte }
        case .uint16: floats = array.withUInt16s { $0.map { $0 == 0 ? .nan : Float($0) / divisors.word } }
        case .float32: floats = array.withFloats { $0.map { $0.isFinite && $0 > 0 ? $0 : .nan } }
        }
        return PixelArray(height: array.height, width: array.width, channels: 1, floats: floats)
    }
}
