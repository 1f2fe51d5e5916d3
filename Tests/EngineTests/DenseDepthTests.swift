import Basics
import Graphs
import Kernels
import Models
import Tensors
import TestSupport
import Testing
import Threads
import Training

/// DenseDepth and the U-Net made from it: published counts, an independent implementation's outputs, losses by their
/// settings, encodings of depth, and what mirrored pictures do.
@Suite struct DenseDepthTests {
    private static func network(_ settings: [(String, String)] = []) throws -> any Network {
        try NetworkRegistry.make("densedepth", settings: settings.map { (name: $0.0, value: $0.1) })
    }

    /// A size that is quick to run.
    private static let small = [("encoder", "small"), ("growth", "4"), ("width", "32")]

    @Test(arguments: [
        ("densedepth-1664", []), ("densedepth-832", [("width", "832")]),
        ("densedepth-unet_article", [("style", "article")]),
    ])
    func outputsAreTheReference(_ name: String, _ settings: [(String, String)]) throws {
        try ZooGolden.check(name, try Self.network(settings), inputs: ["image"], outputs: ["depth"])
    }

    @Test(arguments: [("paper", 158_400), ("article", 164_640)])
    func publishedCounts(_ style: String, _ statistics: Int) throws {
        let network = try Self.network([("style", style)])
        let graph = try NetworkGraph(network, .inspection, batch: 1, height: 480, width: 640)
        #expect(graph.graph.buffers.reduce(0) { $0 + $1.shape.count } == statistics)
        let encoder = graph.graph.parameters.filter { $0.name.hasPrefix("encoder.") }
        #expect(encoder.reduce(0) { $0 + $1.shape.count } == 12_484_480)
        let parts = [
            ("encoder.blocks.0.", 335_040), ("encoder.transitions.0.", 33_280), ("encoder.blocks.1.", 919_680),
            ("encoder.transitions.1.", 132_096), ("encoder.blocks.2.", 4_316_160),
            ("encoder.transitions.2.", 821_760), ("encoder.blocks.3.", 5_913_600), ("encoder.norm5.", 3_328),
            ("conv2.", 2_770_560), ("ups.0.convA.", 14_377_792), ("ups.3.convB.", 97_448), ("conv3.", 937),
        ]
        for (prefix, count) in parts {
            let own = graph.graph.parameters.filter { $0.name.hasPrefix(prefix) }
            #expect(own.reduce(0) { $0 + $1.shape.count } == count, "\(prefix)")
        }
        #expect(graph.maps.map(\.kind) == [.depth])
        #expect(graph.layers.last?.shapes == [[1, 240, 320, 1]])
    }

    /// Training and inference declare the same parameters, at any size of encoder.
    @Test(arguments: ["densenet121", "small"])
    func smallerEncoders(_ encoder: String) throws {
        let network = try Self.network([("encoder", encoder), ("growth", "8"), ("width", "64")])
        let graphs = try [NetworkGraph.Purpose.training, .inspection].map {
            try NetworkGraph(network, $0, batch: 1, height: 64, width: 96).graph
        }
        #expect(graphs[0].parameters.map(\.name) == graphs[1].parameters.map(\.name))
        #expect(graphs[0].parameterCount == graphs[1].parameterCount)
    }

    /// Loss, every gradient and the statistics after a step of PyTorch in float64.
    @Test(arguments: ["paper", "article", "described"])
    func aStepIsTheReferences(_ name: String) throws {
        try ZooStepTests.check(name, of: "densedepth_steps") { _ in
            let map = HashingFixtures.input("t", 2 * 32 * 48).map { name == "paper" ? $0 * 99 + 1 : $0 }
            return [
                NamedTensor("image", [2, 3, 64, 96], HashingFixtures.input("x0", 2 * 3 * 64 * 96)),
                NamedTensor("depth", [2, 1, 32, 48], map),
            ]
        }
    }

    // MARK: Trained encoders

    /// Names as torchvision has them, and as the files have them that it downloads; everything else stays as drawn.
    @Test(arguments: [".", ""])
    func encodersOfOthersAreTaken(_ dot: String) throws {
        let folder = TemporaryFolder()
        let path = folder.path + "/densenet.safetensors"
        let network = try Self.network([("width", "32")])
        let drawn = try InitialWeightsTests.state(network, seed: 1)
        let source = try ModelState.empty(for: network)
        HashingFixtures.fill(source)
        /// torchvision's way to say it, by its own parts.
        func foreign(_ name: String) -> String {
            var parts = name.split(separator: ".").dropFirst().map(String.init)
            if parts[0] == "blocks", let block = Int(parts[1]), let layer = Int(parts[2]) {
                let kind = parts[3].dropLast() + dot + parts[3].suffix(1)
                parts = ["denseblock\(block + 1)", "denselayer\(layer + 1)", String(kind), parts[4]]
            } else if parts[0] == "transitions", let block = Int(parts[1]) {
                parts = ["transition\(block + 1)", parts[2], parts[3]]
            }
            return (["features"] + parts).joined(separator: ".")
        }
        let encoder = source.exported().filter { $0.name.hasPrefix("encoder.") }
        try InitialWeightsTests.write(
            encoder.map { NamedTensor(foreign($0.name), $0.shape, $0.values) }
                + [NamedTensor("classifier.weight", [1], [1]), NamedTensor("classifier.bias", [1], [1])], path)
        let state = try InitialWeightsTests.state(network, seed: 1)
        let report = try InitialWeights(path: path, into: state, of: network)
        #expect(report.loaded.count == encoder.count && encoder.count == 168 + 4 * 169)
        #expect(report.unused.sorted() == ["classifier.bias", "classifier.weight"] && report.misfits.isEmpty)
        #expect(report.missing.allSatisfy { !$0.hasPrefix("encoder.") })
        let given = Dictionary(uniqueKeysWithValues: encoder.map { ($0.name, $0.values) })
        for (tensor, own) in zip(state.exported(), drawn.exported()) {
            #expect(tensor.values == given[tensor.name] ?? own.values, "\(tensor.name)")
        }
    }

    // MARK: Losses

    /// One evaluation of the small network on hashed numbers, and a loss computed from its output.
    private func losses(_ settings: [(String, String)], range: Float) throws -> (found: [String: Double], map: [Float])
    {
        let network = try Self.network(Self.small + settings)
        let state = try ModelState.empty(for: network)
        HashingFixtures.fill(state)
        let (image, truth): (Shape, Shape) = ([2, 3, 64, 64], [2, 1, 32, 32])
        let fields = [
            NamedTensor("image", image, HashingFixtures.input("x0", image.count)),
            NamedTensor("depth", truth, HashingFixtures.input("t", truth.count).map { $0 * range }),
        ]
        let pool = ForkJoinPool(threadCount: 2, spinMicroseconds: 0)
        defer { pool.shutDown() }
        let results = try DebugStep.run(
            network: network, state: state, fields: fields, mode: .eval, kernels: KernelContext(pool: pool))
        let scalars = results.filter { $0.values.count == 1 }.map { ($0.name, Double($0.values[0])) }
        return (
            Dictionary(uniqueKeysWithValues: scalars), try #require(results.first { $0.name == "eval.depth" }).values
        )
    }

    @Test func lossIsSimilarityGradientsAndDifference() throws {
        let (found, map) = try losses([], range: 100)
        let truth = HashingFixtures.input("t", map.count).map { Double($0 * 100) }
        let errors = zip(map, truth).map { Double($0) - $1 }
        let difference = errors.reduce(0) { $0 + abs($1) } / Double(errors.count)
        var gradients = 0.0
        for i in errors.indices {
            if i % 32 < 31 { gradients += abs(errors[i + 1] - errors[i]) }
            if i / 32 % 32 < 31 { gradients += abs(errors[i + 32] - errors[i]) }
        }
        gradients /= Double(errors.count)
        #expect(abs(try #require(found["eval.difference"]) - difference) < 1e-5 * difference)
        #expect(abs(try #require(found["eval.gradients"]) - gradients) < 1e-5 * gradients)
        let similarity = try #require(found["eval.similarity"])
        #expect(similarity > 0 && similarity <= 1)
        let sum = similarity + gradients + 0.1 * difference
        #expect(abs(try #require(found["eval.loss"]) - sum) < 1e-5 * sum)
    }

    @Test func describedLossIsAnother() throws {
        let (found, _) = try losses([("style", "article"), ("loss", "described")], range: 1)
        let parts = try ["eval.similarity", "eval.edges", "eval.cosine"].map { try #require(found[$0]) }
        let sum = parts[0] + parts[1] + 0.1 * parts[2]
        #expect(abs(try #require(found["eval.loss"]) - sum) < 1e-5)
        #expect(throws: SettingError.self) { try Self.network([("loss", "described")]) }
        #expect(throws: SettingError("width", "40", "must be a multiple of 16")) {
            try Self.network([("width", "40")])
        }
    }

    // MARK: Encodings

    @Test func depthIsEncodedAsPublished() throws {
        let paper = try #require(try Self.network().fields.last)
        #expect(paper.streamed.grid.size(height: 480, width: 640) == (240, 320))
        for (metres, encoded) in [(5, 2), (10, 1), (0.1, 100), (0.01, 100), (80, 1)] as [(Float, Float)] {
            #expect(abs(paper.encoding.encoded(metres, channel: 0) - encoded) < 1e-5 * encoded, "\(metres) m")
        }
        // What is not known stays so: losses leave it out.
        for unknown in [0, -1, .nan] as [Float] { #expect(paper.encoding.encoded(unknown, channel: 0).isNaN) }
        for (output, metres) in [(2, 5), (0.5, 10), (-3, 10), (1000, 0.1)] as [(Float, Float)] {
            #expect(abs(paper.encoding.decoded(output, channel: 0) - metres) < 1e-5 * metres, "\(output)")
        }
        let article = try #require(try Self.network([("style", "article"), ("max-depth", "80")]).fields.last)
        #expect(article.encoding.encoded(40, channel: 0) == 0.5 && article.encoding.decoded(0.5, channel: 0) == 40)
    }

    // MARK: Mirrored pictures

    private func predictor(_ network: any Network, flip: Bool, _ kernels: KernelContext) throws -> Predictor {
        let state = try ModelState.empty(for: network)
        HashingFixtures.fill(state)
        return try Predictor(
            TrainedNetwork(network: network, state: state, trainingSize: nil), size: (64, 96), averagesMirrored: flip,
            kernels: kernels)
    }

    private static func record(isMirrored: Bool) -> Record {
        let (height, width) = (64, 96)
        let values = HashingFixtures.input("picture", height * width * 3).map { UInt8($0 * 255) }
        let bytes = (0..<height).flatMap { y in
            (0..<width).flatMap { x -> ArraySlice<UInt8> in
                let first = 3 * (y * width + (isMirrored ? width - 1 - x : x))
                return values[first..<(first + 3)]
            }
        }
        return Record(
            key: "a",
            fields: [
                .init(
                    FieldName.image,
                    PixelArray(height: height, width: width, channels: 3, element: .uint8, bytes: bytes))
            ])
    }

    /// A mean over a picture and its mirror image is the same for both, but mirrored, to the last bit; a map alone is
    /// not.
    @Test func mirroredPicturesHaveMirroredMaps() throws {
        let pool = ForkJoinPool(threadCount: 2, spinMicroseconds: 0)
        defer { pool.shutDown() }
        let kernels = KernelContext(pool: pool)
        let network = try Self.network(Self.small + [("style", "article")])
        func maps(flip: Bool) throws -> (own: [Float], mirrored: [Float]) {
            let predictor = try predictor(network, flip: flip, kernels)
            let found = try [false, true].map { isMirrored in
                try #require(predictor.predict(Self.record(isMirrored: isMirrored)).maps.first).array
                    .withFloats { Array($0) }
            }
            let turned = (0..<64).flatMap { y in (0..<96).map { found[1][y * 96 + 95 - $0] } }
            return (found[0], turned)
        }
        let averaged = try maps(flip: true)
        // Enlarging to the picture's size weighs neighbours in another order in the mirror.
        let largest = averaged.own.map(abs).max() ?? 0
        #expect(zip(averaged.own, averaged.mirrored).allSatisfy { abs($0 - $1) <= 1e-5 * largest })
        let single = try maps(flip: false)
        #expect(zip(single.own, single.mirrored).contains { abs($0 - $1) > 1e-2 * largest })
        // It is the mean of both.
        for i in stride(from: 0, to: single.own.count, by: 97) {
            #expect(abs(averaged.own[i] - 0.5 * (single.own[i] + single.mirrored[i])) <= 1e-5 * largest)
        }
    }

    @Test func mapsOfEyesAreNotMirrored() throws {
        let pool = ForkJoinPool(threadCount: 1)
        defer { pool.shutDown() }
        let network = try NetworkRegistry.make("wnet", settings: [("width", "4"), ("levels", "4")])
        #expect(
            throws: Failure(
                .usage,
                "--flip: the mirror image of disparity_right is another map; leave --flip out for wnet")
        ) { try predictor(network, flip: true, KernelContext(pool: pool)) }
    }
}
