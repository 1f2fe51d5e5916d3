import Basics
import Collectives

/// Time of one exchange between ranks on hosts of their own: so much for each of its two phases, for each message, and
/// for each byte that a rank sends.
///
/// It is what `TreeReducer` does: an all-to-all of pieces and an all-gather of pieces, each with one message to every
/// other rank. Additions and copies grow with the bytes and are part of their cost.
public struct ExchangeCost: Sendable, Equatable {
    public let phaseSeconds: Double
    public let messageSeconds: Double
    public let byteSeconds: Double

    public init(phaseSeconds: Double, messageSeconds: Double, byteSeconds: Double) {
        self.phaseSeconds = phaseSeconds
        self.messageSeconds = messageSeconds
        self.byteSeconds = byteSeconds
    }

    /// What is counted of one exchange.
    public struct Work: Sendable, Equatable {
        public let phases: Double
        public let messages: Double
        /// Bytes that the busiest rank sends or receives.
        public let bytes: Double

        /// - Parameters:
        ///   - byteCount: of the exchanged span.
        ///   - lanes: a rank whose lanes are no single subtree of the lane tree passes several partial sums on.
        /// - Throws: `Failure` (usage) if there are fewer lanes than ranks.
        public init(byteCount: Int, ranks: Int, lanes: Int) throws {
            guard ranks > 1 else {
                (phases, messages, bytes) = (0, 0, 0)
                return
            }
            let partials = try (0..<ranks).map { rank in
                LaneTree.subtrees(
                    of: lanes, within: try LaneTree.share(rank: rank, worldSize: ranks, lanes: lanes)
                ).count
            }
            let total = partials.reduce(0, +)
            let busiest = partials.map { max($0 * (ranks - 1), total - $0) }.max() ?? 0
            phases = 2
            messages = Double(2 * (ranks - 1))
            bytes = Double(busiest + ranks - 1) / Double(ranks) * Double(byteCount)
        }

        init(phases: Double, messages: Double, bytes: Double) {
            (self.phases, self.messages, self.bytes) = (phases, messages, bytes)
        }

        static func + (left: Work, right: Work) -> Work {
            Work(
                phases: left.phases + right.phases, messages: left.messages + right.messages,
                bytes: left.bytes + right.bytes)
        }
    }

    public func seconds(_ work: Work) -> Double {
        work.phases * phaseSeconds + work.messages * messageSeconds + work.bytes * byteSeconds
    }

    // MARK: From measurements

    /// One size of `bench allreduce`: ranks with a lane each, the span in buckets of the trainer's length.
    public struct Measurement: Sendable {
        public let ranks: Int
        public let byteCount: Int
        public let seconds: Double

        public init(ranks: Int, byteCount: Int, seconds: Double) {
            (self.ranks, self.byteCount, self.seconds) = (ranks, byteCount, seconds)
        }

        /// - Throws: never for measurements of one rank or more.
        public func work() throws -> Work {
            let longest = LaneExchange.bucketElementCount * MemoryLayout<Float>.stride
            var sum = Work(phases: 0, messages: 0, bytes: 0)
            for start in stride(from: 0, to: byteCount, by: longest) {
                sum = sum + (try Work(byteCount: min(longest, byteCount - start), ranks: ranks, lanes: ranks))
            }
            return sum
        }
    }

    /// The cost with the smallest relative errors on measured exchanges.
    /// - Throws: `Failure` (usage) if they are of fewer than two numbers of ranks or two sizes: then what a phase
    ///   costs and what a message costs, or what a byte costs, cannot be told apart.
    public init(fitting measurements: [Measurement]) throws {
        let measured = measurements.filter { $0.ranks > 1 && $0.seconds > 0 && $0.seconds.isFinite }
        guard Set(measured.map(\.ranks)).count >= 2 else {
            throw Failure(
                .usage,
                "exchanges of \(Set(measured.map(\.ranks)).sorted()) ranks do not tell what a message costs; measure "
                    + "at two numbers of ranks from 2 on, e.g. 2 and 4 hosts")
        }
        guard Set(measured.map(\.byteCount)).count >= 2 else {
            throw Failure(.usage, "exchanges of one size do not tell what a byte costs; measure several")
        }
        let works = try measured.map { try $0.work() }
        let found = NonnegativeFit.relative(
            rows: works.map { [$0.phases, $0.messages, $0.bytes] }, values: measured.map(\.seconds))
        self.init(phaseSeconds: found[0], messageSeconds: found[1], byteSeconds: found[2])
    }

    // MARK: From a network's data sheet

    /// What software adds to any network: fitted on test hosts with three kinds of cables (docs/scale.md).
    public struct Software: Sendable {
        public let phaseSeconds: Double
        public let messageSeconds: Double
        public let byteSeconds: Double
        /// Bytes on the cable for each byte of an array.
        public let byteFactor: Double

        public static let measured = Software(
            phaseSeconds: 0, messageSeconds: 29e-6, byteSeconds: 0.42e-9, byteFactor: 1.14)
    }

    /// - Parameters:
    ///   - bytesPerSecond: of a host's cable, each way; infinite for none that limits.
    ///   - latencySeconds: from one host to another, one way.
    public init(bytesPerSecond: Double, latencySeconds: Double, software: Software = .measured) {
        self.init(
            phaseSeconds: latencySeconds + software.phaseSeconds, messageSeconds: software.messageSeconds,
            byteSeconds: software.byteFactor / bytesPerSecond + software.byteSeconds)
    }
}
