import Basics
import FrameSources
import Models

/// Makes films out of what a network sees in a film: one frame in memory at a time, whatever the length.
public struct FilmPrediction {
    public struct Options: Sendable {
        /// Share of the map before in each map; 0 leaves maps as the network makes them.
        public var smoothing: Float = 0
        /// Values at the ends of colours and grays; nil: the middle 98 % of some frames spread over the film.
        public var range: ClosedRange<Float>?
        /// The other view is shifted out of the film's own one by the disparity; else it is the network's.
        public var warpsViews = true
        /// Turns disparities into metres for 16-bit films; of the width of a view.
        public var calibration: Calibration?

        public init() {}
    }

    public let predictor: Predictor
    public let views: FilmViews
    private let options: Options
    /// What maps of depth are drawn from.
    private let shown: NetworkResult.Map?
    /// The eye whose view is made.
    public let madeEye: Eye?

    /// What makes a network fit for films, and which films are made if nobody says.
    public struct Abilities: Sendable {
        public let wantsPair: Bool
        public let kinds: [FilmKind]

        /// - Throws: `Failure` (64) for a network that reads what films do not have.
        public init(_ network: any Network, maps: [NetworkResult.Map]) throws {
            let inputs = network.inputs.map(\.name)
            guard inputs.allSatisfy({ [FieldName.left, FieldName.right, FieldName.image].contains($0) }) else {
                throw Failure(
                    .usage,
                    "\(network.name) reads \(inputs.joined(separator: " and ")), which films do not have; "
                        + "give folders of pictures")
            }
            wantsPair = inputs.contains(FieldName.right)
            let hasMap = maps.contains { $0.kind != .view }
            kinds = !wantsPair && maps.contains { $0.kind == .view } ? [.sideBySide] : hasMap ? [.depth] : [.view]
        }
    }

    /// - Throws: `Failure` (64) if the network does not make what `kinds` need.
    public init(_ predictor: Predictor, _ views: FilmViews, kinds: [FilmKind], options: Options) throws {
        self.predictor = predictor
        self.views = views
        self.options = options
        let maps = predictor.maps
        let order: [NetworkResult.Map.Kind] = [.disparity, .depth, .relativeDepth, .mask]
        shown =
            order.lazy.compactMap { kind in
                maps.first { $0.kind == kind && $0.eye == .left } ?? maps.first { $0.kind == kind }
            }.first
        let warped: [Eye] = [.right, .left].filter { eye in maps.contains { $0.kind == .disparity && $0.eye == eye } }
        let rebuilt: [Eye] = [.right, .left].filter { eye in maps.contains { $0.kind == .view && $0.eye == eye } }
        // A left view is made from the right one, which only pairs have.
        let possible = (options.warpsViews ? warped : rebuilt).filter { $0 == .right || views.isStereo }
        madeEye = possible.first
        let name = predictor.network.name
        for kind in kinds {
            switch kind {
            case .depth, .gray, .gray16:
                if shown == nil { throw Failure(.usage, "\(name) makes no map for a film of \(kind.rawValue)") }
            case .view, .sideBySide, .halfSideBySide, .topBottom, .halfTopBottom, .anaglyph:
                if madeEye == nil {
                    throw Failure(.usage, "\(name) makes no other view of this film, which \(kind.rawValue) needs")
                }
            }
        }
        if options.calibration != nil, shown?.kind != .disparity {
            throw Failure(.usage, "\(name) makes no disparity that a calibration would turn into metres")
        }
    }

    /// Makes the rest of the films that `writer` writes.
    /// - Parameter progress: told the number of frames done.
    /// - Returns: frames in all, and what the decoder complained about.
    public func run(
        _ writer: FilmWriter, progress: (Int) -> Void
    ) throws -> (frameCount: Int, errorCount: Int, firstError: String) {
        var smoothers = predictor.maps.filter { $0.kind != .view }.map { _ in
            TemporalSmoother(strength: options.smoothing)
        }
        let start = writer.finishedFrameCount
        if options.smoothing > 0, start > 0 {
            var rest = (try writer.state() ?? [])[...]
            for index in smoothers.indices {
                guard let left = smoothers[index].restore(rest) else {
                    throw Failure(
                        .usage, "\(views.film.path): what was saved about the frames before is broken; give --overwrite"
                    )
                }
                rest = left
            }
        }
        let range = try range(writer)
        let reader = try views.reader(from: start)
        defer { reader.stop() }
        var count = start
        while let frame = try reader.next() {
            let (left, right) = views.views(of: frame.picture)
            let prediction = try predictor.predict(record(left, right, number: count))
            var maps: [Predictor.PredictedMap] = []
            for (index, found) in prediction.maps.enumerated() {
                let picture = found.map.eye == .right ? right ?? left : left
                maps.append(.init(map: found.map, array: smoothers[index].smooth(found.array, of: picture)))
            }
            let made = try madeView(maps, prediction, left, right)
            let pictures = try writer.targets.map { target in
                let picture = try picture(target.kind, maps, left, right, made, range)
                return target.codec == .ffv1 ? picture : StereoPacking.even(picture)
            }
            try writer.write(pictures, of: frame, timeBase: reader.timeBase) {
                options.smoothing > 0 ? smoothers.flatMap(\.state) : nil
            }
            count += 1
            progress(count)
        }
        try writer.finish()
        return (count, reader.errorCount, reader.firstError)
    }

    private func record(_ left: PixelArray, _ right: PixelArray?, number: Int) -> Record {
        var fields: [Record.Field] = []
        for input in predictor.network.inputs {
            switch input.name {
            case FieldName.right: if let right { fields.append(.init(FieldName.right, right)) }
            default: fields.append(.init(input.name, left))
            }
        }
        return Record(key: "frame \(number)", fields: fields)
    }

    private func madeView(
        _ maps: [Predictor.PredictedMap], _ prediction: Predictor.Prediction, _ left: PixelArray, _ right: PixelArray?
    ) throws -> PixelArray? {
        guard let eye = madeEye else { return nil }
        if !options.warpsViews { return prediction.reconstructions.first { $0.eye == eye }?.picture }
        guard let disparity = maps.first(where: { $0.map.kind == .disparity && $0.map.eye == eye }),
            let source = eye == .right ? left : right
        else { return nil }
        return ViewWarp.view(of: eye, source: source, disparity: disparity.array)
    }

    private func picture(
        _ kind: FilmKind, _ maps: [Predictor.PredictedMap], _ left: PixelArray, _ right: PixelArray?,
        _ made: PixelArray?,
        _ range: ClosedRange<Float>
    ) throws -> PixelArray {
        switch kind {
        case .depth, .gray, .gray16:
            guard let found = maps.first(where: { $0.map == shown }) else { preconditionFailure("no map to show") }
            if kind == .depth { return Colormap.colours(of: found.array, in: range) }
            if kind == .gray16 {
                if let calibration = options.calibration {
                    return MapFiles.png16(Self.depth(found.array, calibration), .depth)
                }
                return found.map.kind == .disparity
                    ? DisparityFiles.png16(found.array) : MapFiles.png16(found.array, found.map.kind)
            }
            return Self.gray(found.array, range)
        case .view, .sideBySide, .halfSideBySide, .topBottom, .halfTopBottom, .anaglyph:
            guard let made else { preconditionFailure("no view was made") }
            if kind == .view { return made }
            // The eye that is made stands beside the film's own other one.
            return madeEye == .right
                ? StereoPacking.picture(kind, left: left, right: made)
                : StereoPacking.picture(kind, left: made, right: right ?? left)
        }
    }

    private static func depth(_ disparity: PixelArray, _ calibration: Calibration) -> PixelArray {
        MetricDepth.map(ofDisparity: disparity, calibration)
    }

    private static func gray(_ map: PixelArray, _ range: ClosedRange<Float>) -> PixelArray {
        let span = max(range.upperBound - range.lowerBound, .leastNormalMagnitude)
        return PixelArray(
            height: map.height, width: map.width, channels: 1, element: .uint8,
            bytes: map.withFloats {
                $0.map { $0.isFinite ? UInt8(min(max(($0 - range.lowerBound) / span * 255 + 0.5, 0), 255)) : 0 }
            })
    }

    /// One range for the whole film: colours that follow each frame flicker.
    private func range(_ writer: FilmWriter) throws -> ClosedRange<Float> {
        if let range = options.range { return range }
        guard let shown, shown.kind == .disparity || shown.kind == .depth else { return 0...1 }
        guard writer.targets.contains(where: { $0.kind == .depth || $0.kind == .gray }) else { return 0...1 }
        if let text = writer.fact("range") {
            let parts = text.split(separator: ":").compactMap { Float($0) }
            if parts.count == 2, parts[0] < parts[1] { return parts[0]...parts[1] }
        }
        var values: [Float] = []
        for picture in try views.samples(9) {
            let (left, right) = views.views(of: picture)
            let prediction = try predictor.predict(record(left, right, number: 0))
            guard let found = prediction.maps.first(where: { $0.map == shown }) else { continue }
            let step = max(1, found.array.count / 20_000)
            found.array.withFloats { all in
                for index in stride(from: 0, to: all.count, by: step) where all[index].isFinite {
                    values.append(all[index])
                }
            }
        }
        values.sort()
        var range: ClosedRange<Float> = 0...1
        if let low = values.dropFirst(values.count / 100).first, let high = values.dropLast(values.count / 100).last {
            range = low < high ? low...high : (low - 0.5)...(low + 0.5)
        }
        try writer.set(fact: "range", "\(range.lowerBound):\(range.upperBound)")
        return range
    }
}
