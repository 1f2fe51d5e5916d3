import Basics
import FrameSources
import Metrics
import Models

extension Evaluation {
    /// What turns a record's disparities into depths; nil if nobody says, or if only the unit of a drawn scene is known.
    func geometry(of record: Record) -> StereoGeometry? {
        if let given = options.geometry { return given }
        guard let calibration = record[FieldName.calibration].flatMap({ Calibration($0) }),
            calibration.focalLengthPixels > 0, calibration.baselineMetres > 0, calibration.offsetPixels.isFinite,
            calibration.focalLengthPixels.isFinite, calibration.baselineMetres.isFinite
        else { return nil }
        return StereoGeometry(calibration)
    }

    func measureDepth(_ map: PixelArray, _ truth: PixelArray, into total: inout MetricAverage<DepthSums>) throws {
        let measured = try DepthProtocol(
            maximumMetres: options.capMetres, crop: options.crop, scalesByMedian: options.scalesByMedian
        ).measure(prediction: map, truth: truth)
        // Truth that lies beyond the cap alone says nothing.
        if measured.sums.validCount > 0 || options.geometry != nil { total.add(measured.sums) }
    }

    /// `KEY_error.png`, or `KEY_error_KIND.png` where a record has several.
    func writeErrors(_ picture: @autoclosure () -> PixelArray, of record: Record, _ kind: NetworkResult.Map.Kind? = nil)
        throws
    {
        guard let folder = options.errorMaps else { return }
        let suffix = kind.map { "_" + $0.rawValue.split(separator: " ").joined(separator: "-") } ?? ""
        let path = "\(folder)/\(record.key)_error\(suffix).png"
        try Files.createFolder(
            path.split(separator: "/", omittingEmptySubsequences: false).dropLast().joined(separator: "/"))
        try ImageFile.write(picture(), to: path)
    }
}
