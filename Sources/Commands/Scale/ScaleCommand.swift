import ArgumentParser
import Basics
import Foundation
import Models
import Training

/// `vergence scale`: what a step would take on more ranks.
struct ScaleCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "scale", abstract: "Predicts time per step and efficiency on up to thousands of ranks.",
        discussion: """
            A lane's time is that of a run (--from), or measured here, or given (--step-seconds). The network is \
            fitted to measured exchanges of at least two numbers of ranks (--allreduce), or given by --bandwidth and \
            --latency. Each rank has a host of its own. docs/scale.md has the model, and how far off it was.
            Examples:
              vergence scale --from runs/films --bandwidth 10gbit --latency 50us --picture scale.svg
              mpirun -np 2 -host a,b vergence bench allreduce --json two.json     # and on four hosts
              vergence scale --from runs/films --allreduce two.json --allreduce four.json --check runs/other
            """)

    @OptionGroup(title: "Step") var model: ModelOptions
    @OptionGroup(title: "Step") var machine: MachineOptions
    @Option(help: ArgumentHelp("Run to take network, size, lane batch and times from.", valueName: "folder"))
    var from: String?
    @Option(help: "Height x width, without --from. (default: 192x336)")
    var size: PixelSize?
    @Option(help: "Pairs of a lane, without --from. (default: 3)")
    var laneBatch: Int?
    @Option(help: "Seconds of forward and backward of a lane, instead of measuring.")
    var stepSeconds: Double?
    @Option(
        help: ArgumentHelp(
            "Speed of a host's cable each way; several separated by commas. (default: 10gbit)", valueName: "rate,…"))
    var bandwidth: String?
    @Option(help: "From host to host, one way. (default: 50us)")
    var latency: ShortTime?
    @Option(help: ArgumentHelp("What bench allreduce --json wrote; several times.", valueName: "file"))
    var allreduce: [String] = []
    @Option(help: "Numbers of ranks.")
    var ranks = RankCounts((0...10).map { 1 << $0 })
    @Option(help: "Lanes of a rank where lanes grow with the ranks (weak scaling).")
    var lanesPerRank = 1
    @Option(help: "Lanes where they are fixed (strong scaling). (default: lanes per rank x most ranks)")
    var lanes: Int?
    @Option(
        help: ArgumentHelp(
            "Run, or file of bench allreduce, to compare the prediction with; several times.", valueName: "path"))
    var check: [String] = []
    @Option(help: ArgumentHelp("Draw efficiency by ranks into this SVG file.", valueName: "file.svg"))
    var picture: String?
    @OptionGroup var output: BenchOutputOptions

    /// A network by name, with its cost.
    struct Link {
        let name: String
        let cost: ExchangeCost
    }

    /// What the model says of one network.
    struct Curves {
        let link: Link
        let weak: [ScaleModel.Prediction]
        let strong: [ScaleModel.Prediction]
    }

    func run() throws {
        guard !Launcher.current.isUnderLauncher else {
            throw Failure(.usage, "scale computes in one process; start it without a launcher")
        }
        try checkOptions()
        let fit = try allreduce.map(MeasuredExchanges.init)
        let links = try fit.isEmpty ? given() : [fitted(fit)]
        let checks = try check.map { path in
            Files.isFolder(path)
                ? ScaleCheck.Source.run(try MeasuredRun(path: path)) : .exchanges(try MeasuredExchanges(path: path))
        }
        let step = try step()
        let most = ranks.counts.last ?? 1
        let fixed = lanes ?? most * lanesPerRank
        let curves = try links.map { link in
            let model = ScaleModel(profile: step.profile, cost: link.cost)
            return Curves(
                link: link,
                weak: try ranks.counts.map {
                    try model.predict(ranks: $0, lanes: $0 * lanesPerRank, baseLanes: lanesPerRank)
                },
                strong: try ranks.counts.filter { $0 <= fixed }.map {
                    try model.predict(ranks: $0, lanes: fixed, baseLanes: fixed)
                })
        }
        let rows = try [(fit.map { .exchanges($0) }, true), (checks, false)].flatMap { sources, isFit in
            try ScaleCheck.rows(of: sources, profile: step.profile, cost: links[0].cost, isFit: isFit)
        }
        if let picture {
            let drawing = ScalePicture(title: step.name, step: step.profile, curves: curves, lanes: fixed)
            try AtomicFileWriter.write(drawing.svg(), to: picture)
        }
        try output.write(json(step, curves, rows), lines(step, curves, rows))
    }

    private func checkOptions() throws {
        if !allreduce.isEmpty, bandwidth != nil || latency != nil {
            throw Failure(.usage, "--allreduce says how fast the network is; leave --bandwidth and --latency out")
        }
        if from != nil, size != nil || laneBatch != nil || !model.settings.isEmpty {
            throw Failure(
                .usage,
                "--from takes network, size and lane batch from the run; leave --set, --size and --lane-batch out")
        }
        guard (1...1024).contains(lanesPerRank) else {
            throw Failure(.usage, "--lanes-per-rank \(lanesPerRank): give 1…1024")
        }
        guard (1...(RankCounts.most * 1024)).contains(lanes ?? 1) else {
            throw Failure(.usage, "--lanes \(lanes ?? 0): give 1…\(RankCounts.most * 1024)")
        }
        if let stepSeconds, !(stepSeconds > 0 && stepSeconds < 1e6) {
            throw Failure(.usage, "--step-seconds \(stepSeconds): give a lane's time in seconds, more than 0")
        }
        if let picture, picture.isEmpty || picture == "-" {
            throw Failure(.usage, "--picture '\(picture)': give the name of a file, e.g. scale.svg")
        }
    }

    // MARK: Network

    private func given() throws -> [Link] {
        let latency = latency ?? ShortTime(argument: "50us")
        return try (bandwidth ?? "10gbit").split(separator: ",", omittingEmptySubsequences: false).map { text in
            guard let rate = CableRate(argument: String(text)) else {
                throw Failure(.usage, "--bandwidth \(text): write a rate like 10gbit or 100mbit, or unlimited")
            }
            return Link(
                name: "\(rate), \(latency?.description ?? "0us")",
                cost: ExchangeCost(bytesPerSecond: rate.bytesPerSecond, latencySeconds: latency?.seconds ?? 0))
        }
    }

    private func fitted(_ files: [MeasuredExchanges]) throws -> Link {
        Link(name: "fitted to \(files.count) files", cost: try ExchangeCost(fitting: files.flatMap(\.measurements)))
    }

    // MARK: Step

    /// A step of one rank, and in words what it is of.
    struct Step {
        let name: String
        let profile: StepProfile
    }

    private func step() throws -> Step {
        let kernels = try machine.kernels()
        defer { kernels.pool.shutDown() }
        guard let from else {
            let (size, batch) = (size ?? PixelSize(height: 192, width: 336), laneBatch ?? 3)
            var profile = try StepProfile.measure(
                model.network(), laneBatch: batch, height: size.height, width: size.width,
                repetitions: stepSeconds == nil ? 5 : 2, kernels: kernels)
            if let stepSeconds { profile.laneSeconds = stepSeconds }
            return Step(name: "\(model.model), \(size), lanes of \(batch)", profile: profile)
        }
        let run = try MeasuredRun(path: from)
        let trained = try TrainedNetwork(path: RunFolder(path: from).lastCheckpoint, model: "", settings: [])
        guard let size = trained.trainingSize else {
            throw Failure(
                .badData,
                "\(RunFolder(path: from).lastCheckpoint): does not say for what size; give --size instead of --from")
        }
        // When buckets are ready is a property of the graph: its shares are measured here.
        var profile = try StepProfile.measure(
            trained.network, laneBatch: run.configuration.laneBatch, height: size.height, width: size.width,
            repetitions: 2, kernels: kernels)
        profile.laneSeconds = stepSeconds ?? run.laneSeconds
        profile.restSeconds = run.restSeconds
        profile.dataWaitSeconds = run.dataWaitSeconds
        return Step(
            name: "\(trained.network.name), \(size.height)x\(size.width), lanes of \(run.configuration.laneBatch)",
            profile: profile)
    }
}
