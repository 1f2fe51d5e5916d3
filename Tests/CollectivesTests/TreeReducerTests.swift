import Basics
import Collectives
import TestSupport
import Testing

@Suite struct TreeReducerTests {
    struct Case: CustomStringConvertible, Sendable {
        let lanes: Int
        let ranks: Int
        var description: String { "\(lanes) lanes on \(ranks) ranks" }
    }

    static let cases: [Case] = [1, 2, 3, 4, 5, 6, 7, 8, 12, 16].flatMap { lanes in
        [1, 2, 3, 4, 8].filter { $0 <= lanes }.map { Case(lanes: lanes, ranks: $0) }
    }

    /// What a rank does in training: fold its lanes, then reduce bucket after bucket.
    static func mean(
        _ communicator: any Communicator, lanes: Int, count: Int, buckets: [Range<Int>],
        transport: Transport = .float32
    ) throws -> [Float] {
        let longest = buckets.map(\.count).max() ?? 0
        let reducer = try TreeReducer(
            communicator: communicator, lanes: lanes, longestSpan: longest, transport: transport)
        let fold = reducer.fold
        let memory = UnsafeMutablePointer<Float>.allocate(capacity: fold.bufferCount * count)
        defer { memory.deallocate() }
        let buffers = (0..<fold.bufferCount).map { memory + $0 * count }
        for step in fold.steps {
            buffers[step.buffer].update(from: LaneFixture.gradient(lane: step.lane, count: count), count: count)
            transport.round(buffers[step.buffer], count: count)
            for addition in step.additions {
                LaneFold.add(buffers[addition.from], to: buffers[addition.into], count: count, transport)
            }
        }
        for bucket in buckets {
            try reducer.reduce(
                buffers.prefix(fold.subtrees.count).map { $0 + bucket.lowerBound }, count: bucket.count,
                into: buffers[0] + bucket.lowerBound)
        }
        return Array(UnsafeBufferPointer(start: buffers[0], count: count))
    }

    static func buckets(of count: Int, by length: Int) -> [Range<Int>] {
        stride(from: 0, to: count, by: length).map { $0..<min(count, $0 + length) }
    }

    @Test(arguments: cases) func bitsAreThoseOfTheNaiveTree(_ example: Case) throws {
        let count = 500
        let expected = LaneFixture.mean(lanes: example.lanes, count: count).map(\.bitPattern)
        for length in [count, 100, 37, 3] {
            let buckets = Self.buckets(of: count, by: length)
            let results = InProcessCommunicator.run(size: example.ranks) { communicator in
                try Self.mean(communicator, lanes: example.lanes, count: count, buckets: buckets).map(\.bitPattern)
            }
            for result in results {
                let bits = try result.get()
                #expect(bits == expected, "buckets of \(length)")
            }
        }
    }

    @Test func soloIsTheSameArithmetic() throws {
        for lanes in [1, 3, 8, 13] {
            let result = try Self.mean(SoloCommunicator(), lanes: lanes, count: 70, buckets: [0..<50, 50..<70])
            #expect(result.map(\.bitPattern) == LaneFixture.mean(lanes: lanes, count: 70).map(\.bitPattern))
        }
    }

    /// Rounded nodes give the same bits on any number of ranks and for any cut, and are near the exact mean.
    @Test(arguments: cases) func bfloat16HasTheSameBitsEverywhere(_ example: Case) throws {
        let count = 501
        func rounded(_ value: Float) -> Float {
            // By way of the two neighbours, not by the bits that the code uses.
            let low = Float(bitPattern: value.bitPattern & 0xFFFF_0000)
            let high = Float(bitPattern: (value.bitPattern & 0xFFFF_0000) &+ 0x1_0000)
            let (below, above) = (abs(value - low), abs(high - value))
            if below == above { return low.bitPattern >> 16 & 1 == 0 ? low : high }
            return below < above ? low : high
        }
        func sum(_ node: Range<Int>) -> [Float] {
            if node.count == 1 { return LaneFixture.gradient(lane: node.lowerBound, count: count).map(rounded) }
            let middle = LaneTree.split(node)
            return zip(sum(node.lowerBound..<middle), sum(middle..<node.upperBound)).map { rounded($0 + $1) }
        }
        let expected = sum(0..<example.lanes).map { ($0 * (1 / Float(example.lanes))).bitPattern }
        for length in [count, 100, 37] {
            let buckets = Self.buckets(of: count, by: length)
            let results = InProcessCommunicator.run(size: example.ranks) { communicator in
                try Self.mean(
                    communicator, lanes: example.lanes, count: count, buckets: buckets, transport: .bf16
                ).map(\.bitPattern)
            }
            for result in results { #expect(try result.get() == expected, "buckets of \(length)") }
        }
    }

    @Test func specialValuesSurviveRounding() {
        var values: [Float] = [
            .nan, -.infinity, .infinity, 0, -0.0, 1, Float(bitPattern: 0x7F80_0001), .greatestFiniteMagnitude,
        ]
        Transport.bf16.round(&values, count: values.count)
        #expect(values[0].isNaN && values[6].isNaN)
        #expect(values[1] == -.infinity && values[2] == .infinity && values[5] == 1 && values[7] == .infinity)
        #expect(values[3].bitPattern == 0 && values[4].bitPattern == 0x8000_0000)
    }

    /// Guards the test itself: another order of additions must show.
    @Test func orderShowsInTheBits() {
        let lanes = (0..<5).map { LaneFixture.gradient(lane: $0, count: 500) }
        let leftToRight = (0..<500).map { index in lanes.reduce(Float(0)) { $0 + $1[index] } * (1 / Float(5)) }
        #expect(leftToRight != LaneFixture.mean(lanes: 5, count: 500))
    }

    @Test func resultMayLieElsewhereAndSpansAcrossBlocks() throws {
        let count = 5000
        let expected = LaneFixture.mean(lanes: 3, count: count)
        let results = InProcessCommunicator.run(size: 2) { communicator in
            let reducer = try TreeReducer(communicator: communicator, lanes: 3, longestSpan: count)
            var partials = reducer.fold.subtrees.map { subtree -> [Float] in
                var sum = LaneFixture.gradient(lane: subtree.lowerBound, count: count)
                for lane in subtree.dropFirst() {
                    sum = zip(sum, LaneFixture.gradient(lane: lane, count: count)).map { $0 + $1 }
                }
                return sum
            }
            var mean = [Float](repeating: .nan, count: count)
            try mean.withUnsafeMutableBufferPointer { mean in
                try partials.withUnsafeMutableBufferPointers {
                    try reducer.reduce($0, count: count, into: mean.baseAddress!)
                }
            }
            return mean
        }
        for result in results { #expect(try result.get() == expected) }
    }
}

extension [[Float]] {
    /// Pointers to all arrays at once.
    fileprivate mutating func withUnsafeMutableBufferPointers(
        _ body: ([UnsafeMutablePointer<Float>]) throws -> Void
    ) throws {
        let copies = map { array in
            let pointer = UnsafeMutablePointer<Float>.allocate(capacity: array.count)
            pointer.initialize(from: array, count: array.count)
            return pointer
        }
        defer { for copy in copies { copy.deallocate() } }
        try body(copies)
    }
}
