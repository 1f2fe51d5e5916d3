import Basics
import FrameSources
import Metrics
import Models

/// Depth in metres, and points in space, from disparities of a calibrated rig.
public enum MetricDepth {
    /// - Parameters:
    ///   - map: disparity, `[h, w, 1]` float32, pixels of that width.
    ///   - calibration: of pictures of that width.
    /// - Returns: metres; NaN where unknown, or where the rays do not meet in front of the cameras.
    public static func map(ofDisparity map: PixelArray, _ calibration: Calibration) -> PixelArray {
        Self.map(ofDisparity: map, StereoGeometry(calibration))
    }

    static func map(ofDisparity map: PixelArray, _ geometry: StereoGeometry) -> PixelArray {
        var depth = geometry.depth(ofDisparity: map)
        depth.withMutableFloats { values in
            for index in values.indices where !values[index].isFinite { values[index] = .nan }
        }
        return depth
    }
}

extension StereoGeometry {
    /// - Parameter calibration: of pictures of the maps' width.
    public init(_ calibration: Calibration) {
        self.init(
            focalPixels: Double(calibration.focalLengthPixels), baselineMetres: Double(calibration.baselineMetres),
            offsetPixels: Double(calibration.offsetPixels))
    }
}
