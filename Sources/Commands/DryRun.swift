import Basics
import Models
import Shards
import Streaming
import Training

/// `vergence train --dry-run`: what would happen, without writing anything.
enum DryRun {
    static func print(_ configuration: RunConfiguration, ranks: Int) throws {
        let network = try configuration.makeNetwork()
        let data = try configuration.openData(for: network)
        let order = try configuration.sampleOrder(of: data)
        let estimate = try MemoryEstimate(
            network: network, data: data, ranks: ranks,
            kernels: Machine.kernels(
                threads: configuration.threads, ranksOnHost: ranks, precision: configuration.precision),
            configuration: configuration)
        let steps = configuration.steps > 0 ? configuration.steps : configuration.epochs * order.stepsPerEpoch
        let parts = estimate.parts.map { "\($0.name) \($0.byteCount >> 20)" }.joined(separator: ", ")
        Swift.print(ConfigurationFile.text(configuration), terminator: "")
        Swift.print(
            """

            records: \(data.dataSet.count(.train)) train, \(data.dataSet.count(.val)) val, \(data.height)x\(data.width)
            steps: \(steps), \(order.stepsPerEpoch) per epoch, \(order.globalBatch) pairs each
            parameters: \(estimate.parameterCount)
            memory per rank: about \(estimate.byteCount >> 20) MB at most
                (\(parts))
            one lane takes \(rounded(estimate.laneSeconds)) s on this machine now: about \
            \(rounded(estimate.laneSeconds * Double((configuration.lanes + ranks - 1) / ranks) * Double(steps))) s for \
            all steps at \(ranks) rank\(ranks == 1 ? "" : "s")
            """)
    }

    private static func rounded(_ value: Double) -> String { "\((value * 100).rounded() / 100)" }
}
