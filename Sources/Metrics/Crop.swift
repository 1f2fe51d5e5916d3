/// The part of a depth map that an evaluation looks at. The choice moves results by several percent, so it is always
/// printed beside them.
public enum Crop: String, Sendable, CaseIterable {
    case none
    /// Garg et al., Unsupervised CNN for Single View Depth Estimation (ECCV 2016); common for KITTI.
    case garg
    /// Eigen et al., Depth Map Prediction from a Single Image (NIPS 2014), for KITTI.
    case eigen
    /// Rows 45..<471 and columns 41..<601 of a 480x640 map, as AdaBins and BTS do for NYU; other sizes in proportion.
    case nyu
    /// Rows 20...459 and columns 24...615 of a 480x640 map, Eigen's crop for NYU as DenseDepth's test archive has it; other
    /// sizes in proportion.
    case nyuEigen = "nyu-eigen"

    /// Rows and columns that are kept. Fractions are truncated, as the reference evaluations do.
    ///
    /// **Source:** `evaluation_utils.py` of Monodepth, `evaluate_depth.py` of Monodepth2, `utils.py` of DenseDepth (whose
    /// last rows and columns count).
    public func region(height: Int, width: Int) -> (rows: Range<Int>, columns: Range<Int>) {
        func part(_ from: Double, _ to: Double, _ size: Int) -> Range<Int> {
            Int(from * Double(size))..<Int(to * Double(size))
        }
        switch self {
        case .none:
            return (0..<height, 0..<width)
        case .garg:
            return (part(0.40810811, 0.99189189, height), part(0.03594771, 0.96405229, width))
        case .eigen:
            return (part(0.3324324, 0.91351351, height), part(0.0359477, 0.96405229, width))
        case .nyu:
            return (45 * height / 480..<471 * height / 480, 41 * width / 640..<601 * width / 640)
        case .nyuEigen:
            return (20 * height / 480..<460 * height / 480, 24 * width / 640..<616 * width / 640)
        }
    }
}
