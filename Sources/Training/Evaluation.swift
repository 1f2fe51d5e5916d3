import Basics
import FrameSources
import Metrics
import Models
import Shards

/// Measures predictions on the records of a data set, beside the trivial baselines.
public struct Evaluation {
    /// Where predictions come from.
    public enum Source {
        case network(Predictor)
        /// Files named by record key, `.pfm`, `.npy` or `.png`.
        case folder(String, DisparityFiles.PNGEncoding)
        case constant(Double)
    }

    public struct Options {
        public var crop = Crop.none
        /// Turns disparities into depths, which are measured too; nil: what each record's calibration says, if anything.
        public var geometry: StereoGeometry?
        /// Folder for a picture of each record's errors; nil: none.
        public var errorMaps: String?
        public var capMetres = 80.0
        public var scalesByMedian = false
        /// Largest shift of the global-shift baseline in pixels; nil is an eighth of the width, at least 16.
        public var maximumShift: Int?
        public var baselines = BaselineChoice.all
        /// Levels of the semi-global matcher; nil is what fits the width.
        public var matcher: SemiGlobalMatcher.Options?

        public init() {}
    }

    /// What stands beside the predictions.
    public enum BaselineChoice: String, Sendable, CaseIterable {
        case none
        /// Copy, global shift, constants.
        case simple
        /// These, and semi-global matching of stereo pairs.
        case all
    }

    /// A named row of numbers.
    public struct Row: Sendable {
        public let name: String
        public let values: [(name: String, value: Double)]
    }

    /// A table of rows over one set of pixels or pictures.
    public struct Table: Sendable {
        public let title: String
        public let imageCount: Int
        public let rows: [Row]
    }

    public struct Report: Sendable {
        public let recordCount: Int
        public let tables: [Table]
        /// Metrics of the first map that was measured over all known pixels, by record.
        public let records: [Row]
    }

    private let source: Source
    let options: Options

    public init(_ source: Source, options: Options) {
        self.source = source
        self.options = options
    }

    /// One kind of prediction measured over all records.
    private struct Measured<Sums: MetricSums> {
        var network = MetricAverage<Sums>()
        var shift = MetricAverage<Sums>()
        var constant = MetricAverage<Sums>()
        var matcher = MetricAverage<Sums>()
    }

    /// - Parameter records: pairs of a split and an index.
    /// - Throws: `Failure` (bad data) if nothing can be measured.
    public func run(
        _ data: DataSet, _ records: [(split: Split, index: Int)], progress: (Int) -> Void
    ) throws -> Report {
        var all = Measured<DisparitySums>()
        var visible = Measured<DisparitySums>()
        var depth = MetricAverage<DepthSums>()
        var views:
            [(
                name: String, network: MetricAverage<ViewSums>, copy: MetricAverage<ViewSums>,
                shift: MetricAverage<ViewSums>, matcher: MetricAverage<ViewSums>
            )] = []
        var rows: [Row] = []
        var ownDepth = MeasuredDepth()
        var mask = MeasuredMask()
        var relativeDepth = MeasuredMask()
        for (number, place) in records.enumerated() {
            let record = try data.record(place.split, place.index)
            let (maps, rebuilt) = try prediction(for: record)
            let map = maps.first { $0.kind == .disparity }?.array
            let needsShift = map != nil || !rebuilt.isEmpty
            let shift = needsShift ? try globalShift(record) : 0
            let matched = needsShift ? try matched(record) : nil
            if let truth = record[FieldName.disparity], let map {
                let cropped = try crop(truth, like: map, record)
                let constant = try Baselines.bestConstantDisparity(truth: cropped)
                try measure(map, cropped, shift, constant, matched?.left, into: &all)
                let sums = try DisparitySums(prediction: map, truth: cropped)
                rows.append(Row(name: record.key, values: Array(zip(DisparitySums.names, sums.values))))
                if let mask = record[FieldName.visible], mask.element == .uint8, mask.count == cropped.count {
                    try measure(map, masked(cropped, mask), shift, constant, matched?.left, into: &visible)
                }
                if let geometry = geometry(of: record) {
                    try measureDepth(geometry.depth(ofDisparity: map), geometry.depth(ofDisparity: truth), into: &depth)
                }
                try writeErrors(ErrorColours.disparity(map, truth: cropped), of: record)
            } else if let map, let geometry = geometry(of: record), let truth = Self.truth(record, FieldName.depth),
                truth.height == map.height, truth.width == map.width
            {
                try measureDepth(geometry.depth(ofDisparity: map), truth, into: &depth)
                try writeErrors(
                    ErrorColours.depth(MetricDepth.map(ofDisparity: map, geometry), truth: truth), of: record)
            }
            var own: Row?
            for found in maps where found.kind != .disparity {
                guard let field = found.truth, let truth = Self.truth(record, field) else { continue }
                let cropped = try crop(truth, like: found.array, record)
                switch found.kind {
                case .disparity, .view: break
                case .depth:
                    try writeErrors(ErrorColours.depth(found.array, truth: cropped), of: record)
                    let rules = DepthProtocol(
                        maximumMetres: options.capMetres, crop: options.crop, scalesByMedian: options.scalesByMedian)
                    let sums = try ownDepth.add(found.array, truth: truth, rules)
                    own = own ?? Row(name: record.key, values: Array(zip(DepthSums.names, sums.values)))
                case .mask, .relativeDepth:
                    try writeErrors(
                        ErrorColours.share(found.array, truth: cropped), of: record, maps.count > 1 ? found.kind : nil)
                    let sums =
                        found.kind == .mask
                        ? try mask.add(found.array, truth: cropped) : try relativeDepth.add(found.array, truth: cropped)
                    own = own ?? Row(name: record.key, values: Array(zip(MaskSums.names, sums.values)))
                }
            }
            if let own { rows.append(own) }
            if let left = record[FieldName.left], let right = record[FieldName.right] {
                for (eye, picture) in rebuilt {
                    let (target, other) = eye == .left ? (left, right) : (right, left)
                    let columns = eye == .left ? shift : -shift
                    let name = eye == .left ? "left view from the right one" : "right view from the left one"
                    if !views.contains(where: { $0.name == name }) {
                        views.append((name, .init(), .init(), .init(), .init()))
                    }
                    guard let i = views.firstIndex(where: { $0.name == name }) else { continue }
                    let shown = ContactSheet.displayable(target)
                    let source = ContactSheet.displayable(other)
                    views[i].network.add(try ViewSums(prediction: picture, truth: shown))
                    views[i].copy.add(try ViewSums(prediction: source, truth: shown))
                    views[i].shift.add(
                        try ViewSums(prediction: Baselines.shifted(source, byColumns: columns), truth: shown))
                    if let matched {
                        let map = eye == .left ? matched.left : matched.right
                        views[i].matcher.add(
                            try ViewSums(
                                prediction: Baselines.warped(source, by: map, sign: eye == .left ? -1 : 1),
                                truth: shown))
                    }
                }
            }
            progress(number + 1)
        }
        var tables: [Table] = []
        for (title, measured) in [
            ("disparity, all known pixels", all), ("disparity, pixels that both views see", visible),
        ]
        where measured.network.imageCount > 0 {
            tables.append(
                Table(
                    title: title, imageCount: measured.network.imageCount,
                    rows: [Self.row(sourceName, measured.network)]
                        + Self.rows([
                            ("best global shift", measured.shift), ("best constant", measured.constant),
                            (Self.matcherName, measured.matcher),
                        ])))
        }
        if depth.imageCount > 0 {
            tables.append(
                Table(
                    title: "depth, cap \(options.capMetres) m, crop \(options.crop.rawValue)"
                        + (options.scalesByMedian ? ", median-scaled" : ""),
                    imageCount: depth.imageCount, rows: [Self.row(sourceName, depth)]))
        }
        tables += [
            ownDepth.table(sourceName, options), mask.table("mask, soft intersection over union", sourceName),
            relativeDepth.table("depth in 0…1, without a unit", sourceName),
        ].compactMap(\.self)
        if let first = mask.iou, let second = relativeDepth.iou {
            tables.append(
                Table(
                    title: "mean of the IoUs of mask and depth, as published", imageCount: mask.imageCount,
                    rows: [Row(name: sourceName, values: [("iou", (first + second) / 2)])]))
        }
        for view in views {
            tables.append(
                Table(
                    title: view.name, imageCount: view.network.imageCount,
                    rows: [Self.row(sourceName, view.network)]
                        + Self.rows([
                            ("copy", view.copy), ("best global shift", view.shift), (Self.matcherName, view.matcher),
                        ])))
        }
        guard !tables.isEmpty else {
            throw Failure(
                .badData,
                "\(data.path): nothing to measure: records have no truth for what is predicted, and no view is rebuilt")
        }
        if options.baselines == .none {
            tables = tables.map { Table(title: $0.title, imageCount: $0.imageCount, rows: Array($0.rows.prefix(1))) }
        }
        return Report(recordCount: records.count, tables: tables, records: rows)
    }

    private var sourceName: String {
        switch source {
        case .network: "network"
        case .folder: "predictions"
        case .constant(let value): "constant \(value)"
        }
    }

    static func row<Sums: MetricSums>(_ name: String, _ average: MetricAverage<Sums>) -> Row {
        Row(name: name, values: Array(zip(Sums.names, average.mean)))
    }

    static let matcherName = "semi-global matching"

    /// Those that saw an image.
    private static func rows<Sums: MetricSums>(_ averages: [(name: String, average: MetricAverage<Sums>)]) -> [Row] {
        averages.filter { $0.average.imageCount > 0 }.map { row($0.name, $0.average) }
    }

    private func measure(
        _ map: PixelArray, _ truth: PixelArray, _ shift: Int, _ constant: Double, _ matched: PixelArray?,
        into total: inout Measured<DisparitySums>
    ) throws {
        total.network.add(try DisparitySums(prediction: map, truth: truth))
        if let matched { total.matcher.add(try DisparitySums(prediction: matched, truth: truth)) }
        for (value, path) in [(Double(shift), \Measured<DisparitySums>.shift), (constant, \.constant)] {
            let flat = Baselines.constantMap(value, height: truth.height, width: truth.width)
            total[keyPath: path].add(try DisparitySums(prediction: flat, truth: truth))
        }
    }

    /// A map and what it is measured against.
    private struct Found {
        let kind: NetworkResult.Map.Kind
        let truth: String?
        let array: PixelArray
    }

    /// Kinds of maps that predictions of others can be, with the field of the truth.
    private static let foreign: [(kind: NetworkResult.Map.Kind, field: String)] = [
        (.disparity, FieldName.disparity), (.depth, FieldName.depth), (.mask, FieldName.mask),
    ]

    private func prediction(for record: Record) throws -> ([Found], [(eye: Eye, picture: PixelArray)]) {
        // What there is truth for; a disparity if there is none.
        let foreign = Self.foreign.first { record[$0.field] != nil } ?? Self.foreign[0]
        switch source {
        case .network(let predictor):
            let result = try predictor.predict(record)
            // Disparities are those of the left view's pixels.
            let maps = result.maps.filter { $0.map.kind != .disparity || $0.map.eye == .left }
            return (
                maps.map { Found(kind: $0.map.kind, truth: $0.map.truth, array: $0.array) }, result.reconstructions
            )
        case .constant(let value):
            guard let truth = record[foreign.field] ?? record[FieldName.left] else { return ([], []) }
            let map = Baselines.constantMap(value, height: truth.height, width: truth.width)
            return ([Found(kind: foreign.kind, truth: foreign.field, array: map)], [])
        case .folder(let path, let encoding):
            // Named by the record alone, or as `predict` names them.
            for suffix in [
                ".pfm", ".npy", ".png", "_disparity_left.pfm", "_disparity_left.npy", "_disparity_left_16.png",
                "_depth.pfm", "_depth.npy", "_mask.pfm", "_mask.npy",
            ] {
                let file = "\(path)/\(record.key)\(suffix)"
                if Files.exists(file) {
                    let map = try DisparityFiles.read(file, png: encoding)
                    return ([Found(kind: foreign.kind, truth: foreign.field, array: map)], [])
                }
            }
            throw Failure(
                .missingInput,
                "\(path): has no prediction for record \(record.key); expected \(record.key).pfm, .npy or .png, "
                    + "or what vergence predict writes")
        }
    }

    /// The shift that matches the views best: it sees the pictures, not the truth.
    private func globalShift(_ record: Record) throws -> Int {
        guard let left = record[FieldName.left], let right = record[FieldName.right] else { return 0 }
        return try Baselines.bestGlobalDisparity(
            left: left, right: right, maximumShift: options.maximumShift ?? max(16, left.width / 8))
    }

    /// Both views' disparities by semi-global matching, gaps filled as KITTI's benchmark does.
    private func matched(_ record: Record) throws -> (left: PixelArray, right: PixelArray)? {
        guard options.baselines == .all, let left = record[FieldName.left], let right = record[FieldName.right]
        else { return nil }
        let maps = try SemiGlobalMatcher(options.matcher ?? .forWidth(left.width)).match(left: left, right: right)
        return (Self.filled(maps.left), Self.filled(maps.right))
    }

    /// Without gaps; 0 where nothing matches anywhere.
    private static func filled(_ map: PixelArray) -> PixelArray {
        if map.withFloats({ $0.contains(where: \.isFinite) }) { return interpolatedLikeKITTI(map) }
        return Baselines.constantMap(0, height: map.height, width: map.width)
    }

    /// Truth outside the crop becomes unknown.
    private func crop(_ truth: PixelArray, like map: PixelArray, _ record: Record) throws -> PixelArray {
        guard map.height == truth.height, map.width == truth.width else {
            throw Failure(
                .badData,
                "\(record.key): the prediction is \(map.height)x\(map.width), the ground truth "
                    + "\(truth.height)x\(truth.width); predict at the records' size")
        }
        guard options.crop != .none else { return truth }
        let region = options.crop.region(height: truth.height, width: truth.width)
        var result = truth
        result.withMutableFloats { values in
            for y in 0..<truth.height {
                for x in 0..<truth.width where !region.rows.contains(y) || !region.columns.contains(x) {
                    values[y * truth.width + x] = .nan
                }
            }
        }
        return result
    }

    private func masked(_ truth: PixelArray, _ mask: PixelArray) -> PixelArray {
        var result = truth
        result.withMutableFloats { values in
            for i in values.indices where mask.bytes[i] == 0 { values[i] = .nan }
        }
        return result
    }
}
