import Basics
import Foundation
import Training

/// The model beside what was measured.
enum ScaleCheck {
    enum Source {
        case run(MeasuredRun)
        case exchanges(MeasuredExchanges)
    }

    struct Row {
        let name: String
        /// What is compared: `step`, `exposed` (exchange), `exchange, 4.2 MB`.
        let quantity: String
        let ranks: Int
        let measuredSeconds: Double
        let predictedSeconds: Double
        /// Whether the network was fitted to it.
        let isFit: Bool
        /// Relative to this: the measured time, or of an exposed exchange the measured step.
        let scaleSeconds: Double

        var error: Double { (predictedSeconds - measuredSeconds) / scaleSeconds }

        var json: [String: Any] {
            [
                "name": name, "quantity": quantity, "ranks": ranks, "measured_seconds": measuredSeconds,
                "predicted_seconds": predictedSeconds, "error": error, "is_fit": isFit,
            ]
        }

        var cells: [String] {
            [
                name, quantity, "\(ranks)", BenchText.milliseconds(measuredSeconds),
                BenchText.milliseconds(predictedSeconds), (error >= 0 ? "+" : "") + BenchText.percent(error),
                isFit ? "fit" : "check",
            ]
        }
    }

    /// - Throws: `Failure` (usage) for a run with fewer lanes than ranks.
    static func rows(of sources: [Source], profile: StepProfile, cost: ExchangeCost, isFit: Bool) throws -> [Row] {
        try sources.flatMap { source in
            switch source {
            case .exchanges(let file):
                return try file.measurements.map { measurement in
                    Row(
                        name: name(file.path),
                        quantity: "exchange, \(BenchText.rounded(Double(measurement.byteCount) / 1e6)) MB",
                        ranks: file.ranks, measuredSeconds: measurement.seconds,
                        predictedSeconds: cost.seconds(try measurement.work()), isFit: isFit,
                        scaleSeconds: measurement.seconds)
                }
            case .run(let run):
                let lanes = run.configuration.lanes
                func row(_ quantity: String, _ measured: Double, _ predicted: Double) -> Row {
                    Row(
                        name: name(run.path), quantity: quantity, ranks: run.ranks, measuredSeconds: measured,
                        predictedSeconds: predicted, isFit: isFit, scaleSeconds: run.stepSeconds)
                }
                // Once all by the model; once the network alone, below the time that computing took in that very run.
                var own = profile
                own.laneSeconds = run.laneSeconds
                own.restSeconds = run.restSeconds
                own.dataWaitSeconds = run.dataWaitSeconds
                return try [("", profile), (", its own computing", own)].flatMap { words, profile in
                    let prediction = try ScaleModel(profile: profile, cost: cost)
                        .predict(ranks: run.ranks, lanes: lanes, baseLanes: lanes)
                    return [
                        row("step\(words)", run.stepSeconds, prediction.stepSeconds),
                        row("exposed\(words)", run.exposedSeconds, prediction.exposedSeconds),
                    ]
                }
            }
        }
    }

    /// The last part of a path.
    private static func name(_ path: String) -> String {
        path.split(separator: "/").last.map(String.init) ?? path
    }
}

extension ScaleCommand {
    func json(_ step: Step, _ curves: [Curves], _ rows: [ScaleCheck.Row]) -> [String: Any] {
        func predictions(_ list: [ScaleModel.Prediction]) -> [[String: Any]] {
            list.map {
                [
                    "ranks": $0.ranks, "lanes": $0.lanes, "lanes_per_rank": $0.lanesPerRank,
                    "compute_seconds": $0.computeSeconds, "exchange_seconds": $0.exchangeSeconds,
                    "exposed_seconds": $0.exposedSeconds, "step_seconds": $0.stepSeconds,
                    "efficiency": $0.efficiency,
                ]
            }
        }
        return [
            "of": step.name, "lane_seconds": step.profile.laneSeconds, "rest_seconds": step.profile.restSeconds,
            "data_wait_seconds": step.profile.dataWaitSeconds,
            "buckets": step.profile.buckets.map {
                ["bytes": $0.byteCount, "ready_share": $0.readyShare] as [String: Any]
            },
            "networks": curves.map { curves -> [String: Any] in
                [
                    "name": curves.link.name, "phase_seconds": curves.link.cost.phaseSeconds,
                    "message_seconds": curves.link.cost.messageSeconds, "byte_seconds": curves.link.cost.byteSeconds,
                    "weak": predictions(curves.weak), "strong": predictions(curves.strong),
                ]
            },
            "comparison": rows.map(\.json),
        ]
    }

    func lines(_ step: Step, _ curves: [Curves], _ rows: [ScaleCheck.Row]) -> [String] {
        let profile = step.profile
        var lines = [
            "\(step.name): \(BenchText.milliseconds(profile.laneSeconds)) a lane, "
                + "\(BenchText.milliseconds(profile.restSeconds + profile.dataWaitSeconds)) besides, "
                + "\(BenchText.rounded(Double(profile.byteCount) / 1e6)) MB in \(profile.buckets.count) buckets"
        ]
        for curves in curves {
            let cost = curves.link.cost
            lines.append(
                "network \(curves.link.name): \(BenchText.rounded(cost.phaseSeconds * 1e6)) µs a phase, "
                    + "\(BenchText.rounded(cost.messageSeconds * 1e6)) µs a message, "
                    + (cost.byteSeconds > 0 ? "\(BenchText.rounded(1e-6 / cost.byteSeconds)) MB/s" : "no time a byte"))
            lines += table("lanes grow with the ranks (weak scaling)", curves.weak)
            lines += table("lanes are fixed (strong scaling)", curves.strong)
        }
        guard !rows.isEmpty else { return lines }
        lines.append("beside measurements" + (curves.count > 1 ? ", by the first network" : ""))
        lines += BenchText.table(
            ["", "", "ranks", "measured", "predicted", "error", ""], rows.map(\.cells))
        for (isFit, words) in [(true, "fitted"), (false, "not used for the fit")] {
            let errors = rows.filter { $0.isFit == isFit }.map { abs($0.error) }.sorted()
            guard let largest = errors.last else { continue }
            lines.append(
                "\(errors.count) \(words): median error \(BenchText.percent(errors[errors.count / 2])), "
                    + "largest \(BenchText.percent(largest))")
        }
        return lines
    }

    private func table(_ title: String, _ predictions: [ScaleModel.Prediction]) -> [String] {
        guard !predictions.isEmpty else { return [] }
        return [title]
            + BenchText.table(
                ["ranks", "lanes", "per rank", "compute", "exchange", "exposed", "step", "efficiency"],
                predictions.map {
                    [
                        "\($0.ranks)", "\($0.lanes)", "\($0.lanesPerRank)", BenchText.milliseconds($0.computeSeconds),
                        BenchText.milliseconds($0.exchangeSeconds), BenchText.milliseconds($0.exposedSeconds),
                        BenchText.milliseconds($0.stepSeconds), BenchText.percent($0.efficiency),
                    ]
                })
    }
}
