import Graphs

// What all layers of batch normalisation have in common: running statistics under the current scope, and a row of the summary.

extension GraphBuilder {
    /// Normalisation by stored statistics, which follow the other inputs: `running_mean`, `running_var`.
    func inferenceNorm(
        _ operation: some Operation, _ inputs: [Value], channels: Int, file: String, line: Int
    ) -> Value {
        let mean = buffer("running_mean", [channels], initial: 0, file: file, line: line)
        let variance = buffer("running_var", [channels], initial: 1, file: file, line: line)
        let result = add(operation, inputs + [mean, variance], file: file, line: line)[0]
        layer("BatchNorm2d", [result], parameterCount: 2 * channels)
        return result
    }

    /// Normalisation by the batch's statistics, which are the operation's second and third result.
    /// - Parameters:
    ///   - samples: per channel.
    ///   - momentum: of running ← (1 − momentum) · running + momentum · batch.
    func normalized(
        _ operation: some Operation, _ inputs: [Value], channels: Int, samples: Int, momentum: Float, file: String,
        line: Int
    ) -> Value {
        let results = add(operation, inputs, file: file, line: line)
        // Shapes that do not fit were noted, and there is one result to go on with.
        guard results.count == 3 else { return results[0] }
        statistic(
            "running_mean", .mean, results[1], momentum: momentum, sampleCount: samples, initial: 0, file: file,
            line: line)
        statistic(
            "running_var", .variance, results[2], momentum: momentum, sampleCount: samples, initial: 1, file: file,
            line: line)
        layer("BatchNorm2d", [results[0]], parameterCount: 2 * channels)
        return results[0]
    }
}
