import Basics
import Models
import Shards
import Streaming

extension RunConfiguration {
    /// - Throws: `Failure` or `SettingError` (usage).
    public func makeNetwork() throws -> any Network {
        try NetworkRegistry.make(model, settings: settings.sorted { $0.key < $1.key }.map { ($0.key, $0.value) })
    }

    /// The data set that a network is trained on.
    /// - Parameter warning: is told, perhaps on another thread, why shards are not copied into the cache; nil: no cache.
    /// - Throws: `Failure` (bad data) naming the data set and the remedy.
    public func openData(
        for network: any Network, warning: (@Sendable (String) -> Void)? = nil
    ) throws -> TrainingData {
        var local: LocalShards?
        if let warning, !cache.isEmpty {
            do {
                local = try LocalShards(path: cache, byteLimit: Int(min(cacheSize, 1e9) * 1e9), warning: warning)
            } catch {
                warning("\(error); shards are read from where they are")
            }
        }
        return try TrainingData(path: data, network: network, size: size, local: local)
    }

    /// The order in which training reads.
    public func sampleOrder(of data: TrainingData) throws -> SampleOrder {
        try SampleOrder(
            seed: seed, recordCount: data.dataSet.count(.train), lanes: lanes, laneBatch: laneBatch,
            shuffling: Shuffling(block: shuffleBlock, window: shuffleWindow), mix: data.mix)
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
