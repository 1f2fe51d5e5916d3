import ArgumentParser
import Basics
import FrameSources
import Models
import Training

/// Depth in metres and points in space, for pictures of a calibrated rig.
struct SpaceOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Makes metres of disparities: calib.txt of Middlebury, ETH3D or KITTI, or FOCAL,BASELINE[,OFFSET] in pixels, "
                + "metres and pixels of the pictures' width.", valueName: "file|numbers"))
    var calibration: String?
    @Flag(help: "Write KEY_points.ply, a cloud of coloured points; needs --calibration.")
    var ply = false
    @Option(help: "Farthest point in metres.")
    var maxDepth: Float = 100
    @Flag(help: "Write contact-sheet-N.png: views, map and rebuilt view of each picture.")
    var contactSheet = false

    /// - Throws: `Failure`, `FileError`, `ImageError`.
    func rig() throws -> RigCalibration? {
        guard maxDepth > 0 else { throw Failure(.usage, "--max-depth \(maxDepth): give metres above 0") }
        if ply && calibration == nil {
            throw Failure(.usage, "--ply: points need --calibration FILE or --calibration FOCAL,BASELINE[,OFFSET]")
        }
        return try calibration.map { try RigCalibration(argument: $0) }
    }

    /// The maps, and those in metres that follow from disparities.
    func withDepth(_ maps: [Predictor.PredictedMap], _ rig: RigCalibration?) -> [Predictor.PredictedMap] {
        guard let rig else { return maps }
        return maps
            + maps.filter { $0.map.kind == .disparity }.map { found in
                .init(
                    map: NetworkResult.Map(.depth, of: found.map.eye, found.map.output, truth: nil),
                    array: MetricDepth.map(
                        ofDisparity: found.array, rig.fitted(width: found.array.width).calibration))
            }
    }

    /// - Parameter maps: with those in metres.
    /// - Throws: `Failure` (64) if no map says how far things are.
    func writePoints(_ maps: [Predictor.PredictedMap], of record: Record, _ rig: RigCalibration, to base: String) throws
    {
        let depths = maps.filter { $0.map.kind == .depth }
        guard let found = depths.first(where: { $0.map.eye == .left }) ?? depths.first else {
            throw Failure(.usage, "--ply: the network makes neither disparity nor depth")
        }
        let name = found.map.eye?.rawValue ?? FieldName.image
        guard let picture = record[name] ?? record[FieldName.left] else { return }
        let fitted = rig.fitted(width: picture.width)
        try PointCloud.write(
            depth: found.array, picture: picture, focalLengthPixels: fitted.calibration.focalLengthPixels,
            // The right camera's principal point is not what calibrations give first.
            principalPoint: found.map.eye == .right ? nil : fitted.principalPoint, farthest: maxDepth,
            to: base + "_points.ply")
    }
}

/// Sheets of what was read and what was made of it, some rows each.
struct ContactSheetWriter {
    let folder: String
    private static let rowCount = 12
    private static let width = 320

    private var rows: [PixelArray] = []
    private(set) var sheetCount = 0

    init(folder: String) { self.folder = folder }

    mutating func add(_ record: Record, _ prediction: Predictor.Prediction, range: ClosedRange<Float>?) throws {
        var pictures = record.fields.filter { $0.array.element != .float32 && [1, 3].contains($0.array.channels) }
            .map { ContactSheet.displayable($0.array) }
        let order: [NetworkResult.Map.Kind] = [.disparity, .depth, .relativeDepth, .mask]
        for kind in order {
            let own = prediction.maps.filter { $0.map.kind == kind }
            guard let found = own.first(where: { $0.map.eye == .left }) ?? own.first else { continue }
            let isShare = kind == .relativeDepth || kind == .mask
            pictures.append(
                Colormap.colours(
                    of: found.array, in: range ?? (isShare ? 0...1 : Colormap.range(of: found.array) ?? 0...1)))
        }
        if let made = prediction.reconstructions.first(where: { $0.eye == .right }) ?? prediction.reconstructions.first
        {
            pictures.append(made.picture)
        }
        rows.append(
            ContactSheet.row(
                pictures.map {
                    let width = min($0.width, Self.width)
                    return Resizing.area($0, height: max(1, $0.height * width / $0.width), width: width)
                }))
        if rows.count == Self.rowCount { try write() }
    }

    /// Writes what is left.
    mutating func write() throws {
        guard !rows.isEmpty else { return }
        sheetCount += 1
        try ImageFile.write(ContactSheet.column(rows), to: "\(folder)/contact-sheet-\(sheetCount).png")
        rows = []
    }
}
