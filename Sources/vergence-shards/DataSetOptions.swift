import ArgumentParser
import FrameSources

extension KITTI.GroundTruth: ExpressibleByArgument {}
extension Middlebury.RightView: ExpressibleByArgument {}
extension RenderPass: ExpressibleByArgument {}

/// `train=eigen_train_files.txt`: a list of samples that make one part.
struct PartListArgument: ExpressibleByArgument {
    let list: PartList

    init?(argument: String) {
        let parts = argument.split(separator: "=", maxSplits: 1).map(String.init)
        guard parts.count == 2, let part = FrameItem.Part(rawValue: parts[0]), !parts[1].isEmpty else { return nil }
        list = PartList(part: part, path: parts[1])
    }
}

/// What overlays a split keeps together.
enum SplitUnit: String, CaseIterable, ExpressibleByArgument {
    case sample
    case background
}

/// Options of single layouts. Each is nil or off unless given, so that one with another layout can be refused.
struct DataSetOptions: ParsableArguments {
    @Option(help: "kitti: ground truth of non-occluded pixels (noc, the default) or of all (occ), if both are there.")
    var groundTruth: KITTI.GroundTruth?

    @Flag(help: "kitti: take colored_0 and colored_1 rather than the gray views.")
    var colour = false

    @Flag(help: "kitti: frames without ground truth too (*_11, the multi-view extension).")
    var allFrames = false

    @Option(
        help: ArgumentHelp(
            "kitti-raw, nyu: a publisher's list of one part, such as train=train_files.txt. Repeatable.",
            valueName: "part=file"))
    var list: [PartListArgument] = []

    @Option(help: "middlebury, list: what 8-bit disparities are divided by. (middlebury's default: by set and size)")
    var disparityScale: Float?

    @Option(help: "middlebury: im1.png (same), im1E.png (exposure) or im1L.png (light).")
    var rightView: Middlebury.RightView?

    @Option(help: "sceneflow, sintel: the clean or the final pass. (default: final)")
    var pass: RenderPass?

    @Flag(help: "sceneflow: the views alone, without disparity/.")
    var viewsOnly = false

    @Option(help: "overlay: what a split keeps together, samples or backgrounds. (default: sample)")
    var splitBy: SplitUnit?

    @Option(help: ArgumentHelp("list: folder of the paths. (default: that of the list)", valueName: "folder"))
    var root: String?

    func validate() throws {
        if let disparityScale, !(disparityScale > 0 && disparityScale.isFinite) {
            throw ValidationError("--disparity-scale \(disparityScale) is not positive")
        }
    }

    /// Every option that was given, with the layouts that take it.
    private var given: [(name: String, layouts: [Layout])] {
        [
            ("--ground-truth", [.kitti], groundTruth != nil), ("--colour", [.kitti], colour),
            ("--all-frames", [.kitti], allFrames), ("--list", [.kittiRaw, .nyu], !list.isEmpty),
            ("--disparity-scale", [.middlebury, .list], disparityScale != nil),
            ("--right-view", [.middlebury], rightView != nil), ("--pass", [.sceneflow, .sintel], pass != nil),
            ("--views-only", [.sceneflow], viewsOnly), ("--split-by", [.overlay], splitBy != nil),
            ("--root", [.list], root != nil),
        ].filter(\.2).map { ($0.0, $0.1) }
    }

    /// - Throws: `ValidationError` naming the first option that means nothing for `layout`.
    func require(_ layout: Layout) throws {
        for (name, layouts) in given where !layouts.contains(layout) {
            let takers = layouts.map(\.rawValue).joined(separator: " and ")
            throw ValidationError("\(name) is for --layout \(takers), not \(layout.rawValue)")
        }
    }

    /// nil for layouts that are no published data set.
    func source(_ layout: Layout, root input: String) -> (any FrameSource)? {
        switch layout {
        case .kitti:
            KITTI(
                root: input, groundTruth: groundTruth ?? .nonOccluded, prefersColour: colour, takesAllFrames: allFrames)
        case .kittiRaw: KITTIRaw(root: input, lists: list.map(\.list))
        case .middlebury:
            Middlebury(root: input, disparityScale: disparityScale, rightView: rightView ?? .same)
        case .sceneflow: SceneFlow(root: input, pass: pass ?? .final, viewsOnly: viewsOnly)
        case .eth3d: ETH3D(root: input)
        case .sintel: Sintel(root: input, pass: pass ?? .final)
        case .tartanair: DepthScenes(root: input, kind: .tartanAir)
        case .fallingthings: DepthScenes(root: input, kind: .fallingThings)
        case .nyu: NYUDepth(root: input, lists: list.map(\.list))
        case .overlay: Overlays(root: input, keepsBackgroundsTogether: splitBy == .background)
        case .list: ListFile(path: input, root: root, disparityScale: disparityScale)
        default: nil
        }
    }

    /// What the records depend on.
    func provenance(_ layout: Layout) -> [String: String] {
        var values: [String: String] = [:]
        if layout == .kitti { values["ground-truth"] = (groundTruth ?? .nonOccluded).rawValue }
        if layout == .sceneflow || layout == .sintel { values["pass"] = (pass ?? .final).rawValue }
        if colour { values["colour"] = "true" }
        if allFrames { values["all-frames"] = "true" }
        if let disparityScale { values["disparity-scale"] = "\(disparityScale)" }
        if let rightView { values["right-view"] = rightView.rawValue }
        if viewsOnly { values["views-only"] = "true" }
        if let splitBy { values["split-by"] = splitBy.rawValue }
        if !list.isEmpty {
            values["list"] = list.map { "\($0.list.part.rawValue)=\($0.list.path.split(separator: "/").last ?? "")" }
                .joined(separator: " ")
        }
        return values
    }
}
