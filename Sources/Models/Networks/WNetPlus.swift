import Graphs

/// W-net with what has been learned since: its layers and parameters, other defaults of its settings
/// (`docs/wnet-plus.md`).
///
/// **Source:** `WNet`; Godard, Mac Aodha, Brostow, "Unsupervised monocular depth estimation with left-right consistency", CVPR
/// 2017 (similarity, consistency); Wang et al., CVPR 2018 (occlusion); Tulyakov, Ivanov, Fleuret, NeurIPS 2018 (peak).
public struct WNetPlus: Network {
    public static let name = "wnet-plus"
    public static let summary = "W-net with its successors' losses: similarity, consistency, occlusion"
    /// W-net's settings that have other defaults here.
    static let defaults = [
        "edges": "aligned", "smoothness": "0.01", "similarity": "0.85", "consistency": "0.001", "occlusion": "masked",
        "peak": "2",
    ]
    public static let settings = WNet.settings.map { setting in
        SettingDescription(
            name: setting.name, kind: setting.kind, standard: defaults[setting.name] ?? setting.standard,
            help: setting.help)
    }

    public let base: WNet

    public init(_ settings: Settings) throws { base = try WNet(settings) }

    public var sizeMultiple: Int { base.sizeMultiple }
    public var fields: [NetworkField] { base.fields }

    public func describe(_ fields: FieldValues) -> NetworkResult { base.describe(fields) }
}
