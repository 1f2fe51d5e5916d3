import Basics
import Telemetry

/// The page about one run, or about several beside each other.
struct RunReport {
    let runs: [RunSummary]

    private static let pictureLimit = 6

    /// - Throws: `FileError` for a sheet of samples that cannot be read.
    func html() throws -> String {
        var page = ReportPage(title: runs.count == 1 ? "Run \(runs[0].name)" : "\(runs.count) runs")
        if runs.count == 1 { try one(runs[0], &page) } else { try several(&page) }
        return page.html()
    }

    private func one(_ run: RunSummary, _ page: inout ReportPage) throws {
        page.tiles(tiles(run))
        page.heading("Curves over steps")
        var charts = run.losses.enumerated().map { index, loss in
            LineChart(
                "\(loss), training and validation",
                [
                    run.line(run.steps, loss, color: 0, name: "training"),
                    run.line(run.epochs, "val_\(loss)", color: 1, name: "validation", dots: true),
                ])
        }
        let others = run.validations.filter { name in !run.losses.contains { "val_\($0)" == name } }
        charts += others.map {
            LineChart("\($0.dropFirst(4)), validation", [run.line(run.epochs, $0, color: 1, dots: true)])
        }
        charts += [
            LineChart("Learning rate", [run.line(run.steps, "lr", color: 2)], isFromZero: true),
            LineChart("Norm of the gradient", [run.line(run.steps, "gradient_norm", color: 3)], isLogarithmic: true),
            LineChart("Pairs per second", [run.rates], isFromZero: true),
            LineChart(
                "Seconds of a step, rank 0",
                [
                    run.line(run.steps, "seconds", color: 0, name: "all"),
                    run.line(run.steps, "data_wait_seconds", color: 1, name: "waiting for data"),
                    run.line(run.steps, "communication_seconds", color: 2, name: "communication"),
                ], isFromZero: true),
        ]
        page.charts(charts)
        if let timeline = run.timeline() {
            page.heading("Ranks")
            page.timeline(timeline)
        }
        try samples(of: run, &page)
        page.heading("Configuration")
        page.table(["name", "value"], run.values.map { [$0.name, $0.value] })
        page.heading("Data set")
        page.table([], run.dataRows)
        if !run.checkpoints.isEmpty {
            page.heading("Checkpoints")
            page.table(["file", "bytes"], run.checkpoints.map { [$0.name, "\($0.byteCount)"] })
        }
        if !run.launches.isEmpty {
            page.heading("Launches")
            page.table(
                ["time", "event", ""],
                run.launches.map { event in
                    let rest = event.dropFirst(2).map { "\($0.name): \($0.value)" }.joined(separator: ", ")
                    return [event[0].value, event.count > 1 ? event[1].value : "", rest]
                })
        }
        page.heading("Machine and environment")
        page.folded("of every start", text: run.machine)
    }

    private func tiles(_ run: RunSummary) -> [(name: String, value: String)] {
        var tiles: [(name: String, value: String)] = [("steps", "\(run.lastStep)")]
        if let epoch = run.last(run.epochs, "epoch") { tiles.append(("epochs", "\(Int(epoch))")) }
        for loss in run.losses.prefix(1) {
            if let value = run.last(run.steps, loss) { tiles.append(("\(loss), last step", number(value))) }
        }
        for name in run.validations where ["val_loss", "val_epe", "val_abs_rel", "val_iou"].contains(name) {
            if let value = run.last(run.epochs, name) {
                tiles.append(("\(name.dropFirst(4)), validation", number(value)))
            }
        }
        if let rate = run.medianRate { tiles.append(("pairs per second", number(rate))) }
        tiles.append(("time in steps", ProgressFormat.duration(run.seconds)))
        if let ranks = run.timeline(limit: .max)?.strips.count { tiles.append(("ranks", "\(ranks)")) }
        return tiles
    }

    /// Some sheets, the first and the last among them.
    private func samples(of run: RunSummary, _ page: inout ReportPage) throws {
        let all = run.samples
        guard !all.isEmpty else { return }
        page.heading("Samples")
        page.paragraph(
            "The same validation records every time. From left to right: what the network reads; of each kind of map the "
                + "truth, where records have it, and the network's (red is near); the rebuilt view and its error.")
        let count = min(Self.pictureLimit, all.count)
        let chosen = (0..<count).map { count == 1 ? all.count - 1 : $0 * (all.count - 1) / (count - 1) }
        for index in chosen { page.picture("epoch \(all[index].epoch)", png: try Files.read(all[index].path)) }
    }

    private func several(_ page: inout ReportPage) throws {
        let measured = unique(runs.flatMap(\.validations))
        page.table(
            ["run", "steps", "pairs/s", "time"] + measured.map { "\($0.dropFirst(4))" },
            runs.map { run in
                [run.name, "\(run.lastStep)", run.medianRate.map(number) ?? "", ProgressFormat.duration(run.seconds)]
                    + measured.map { name in run.last(run.epochs, name).map(number) ?? "" }
            })
        page.heading("Curves over steps")
        func chart(_ title: String, isFromZero: Bool = false, _ line: (RunSummary, Int) -> LineChart.Line) -> LineChart
        {
            LineChart(title, runs.enumerated().map { line($1, $0) }, isFromZero: isFromZero)
        }
        page.charts(
            unique(runs.flatMap(\.losses)).map { loss in
                chart("\(loss), training") { $0.line($0.steps, loss, color: $1, name: $0.name) }
            }
                + measured.map { name in
                    chart("\(name.dropFirst(4)), validation") {
                        $0.line($0.epochs, name, color: $1, name: $0.name, dots: true)
                    }
                } + [
                    chart("Pairs per second", isFromZero: true) { run, color in
                        var line = run.rates
                        (line.name, line.color) = (run.name, color)
                        return line
                    }
                ])
        page.heading("What differs in their configurations")
        let names = unique(runs.flatMap { $0.values.map(\.name) }).filter { $0 != "run" }
        let rows = names.compactMap { name -> [String]? in
            let values = runs.map { run in run.values.first { $0.name == name }?.value ?? "" }
            return Set(values).count > 1 ? [name] + values : nil
        }
        if rows.isEmpty { page.paragraph("Nothing.") } else { page.table(["name"] + runs.map(\.name), rows) }
        for run in runs {
            guard let last = run.samples.last else { continue }
            page.heading("Samples of \(run.name)")
            page.picture("epoch \(last.epoch)", png: try Files.read(last.path))
        }
    }

    private func unique(_ names: [String]) -> [String] {
        var seen: Set<String> = []
        return names.filter { seen.insert($0).inserted }
    }

    private func number(_ value: Double) -> String { ProgressFormat.loss(value) }
}
