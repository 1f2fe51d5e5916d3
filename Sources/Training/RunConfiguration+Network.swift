import Basics
import Models

extension RunConfiguration {
    /// - Throws: `Failure` or `SettingError` (usage).
    public func makeNetwork() throws -> any Network {
        try NetworkRegistry.make(model, settings: settings.sorted { $0.key < $1.key }.map { ($0.key, $0.value) })
    }

    /// The data set that a network is trained on.
    /// - Throws: `Failure` (bad data) naming the data set and the remedy.
    public func openData(for network: any Network) throws -> TrainingData {
        try TrainingData(path: data, network: network, size: size)
    }

    /// All settings of the network with their defaults.
    func resolvedSettings(of network: any Network) throws -> [(name: String, value: String)] {
        try Settings(
            type(of: network).settings, settings.map { ($0.key, $0.value) }, owner: network.name
        ).values
    }

    /// What a resumed run must share, except where the data lies.
    var identityText: String {
        let start = RunConfiguration()
        return Self.fields.filter { field in
            !field.mayChangeOnResume && field.name != "data" && field.name != "model"
                && !(field.isSilentAtDefault && field.format(self) == field.format(start))
        }.map { "\($0.name)=\($0.format(self))" }.joined(separator: " ")
    }
}
