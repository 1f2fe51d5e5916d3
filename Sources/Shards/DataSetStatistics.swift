import Basics
import Threads

/// What the values of a field are like, over all records.
public struct FieldStatistics: Sendable, Encodable {
    public struct Size: Sendable, Encodable {
        public let height: Int
        public let width: Int
        public let records: Int
    }

    public struct Channel: Sendable, Encodable {
        /// Of the known values; integers count as 0…1. nil if there are none.
        public let mean: Double?
        public let deviation: Double?
        public let minimum: Double?
        public let maximum: Double?
        /// Share of values that are not finite.
        public let unknownShare: Double
    }

    public struct Percentile: Sendable, Encodable {
        public let percent: Double
        public let value: Double
    }

    public struct Bin: Sendable, Encodable {
        public let from: Double
        public let to: Double
        public let count: Int
    }

    public let name: String
    /// Element types, joined by '|' if records differ.
    public let element: String
    public let records: Int
    /// Most frequent first.
    public let sizes: [Size]
    public let channels: [Channel]
    /// Float maps: over all channels and known values.
    public let percentiles: [Percentile]?
    public let histogram: [Bin]?
}

public enum DataSetStatistics {
    public struct Outcome: Sendable {
        public let recordCount: Int
        public let fields: [FieldStatistics]
        public let problems: [ShardError]
    }

    /// Reads and verifies every record of a split, or of all. The result does not depend on the number of workers.
    public static func measure(
        _ data: DataSet, split: Split?, workers: Int, progress: @escaping (Int) -> Void = { _ in }
    ) -> Outcome {
        struct Chunk: Sendable {
            var recordCount = 0
            var sums: [String: FieldSums] = [:]
            var problems: [ShardError] = []
        }
        let wanted = split.map { Set(data.manifest.splits[$0] ?? []) }
        let chunks = Parallel.map(
            workers: workers, name: "stats", next: data.pieces(progress: progress)
        ) { (piece: DataSet.Piece) -> Chunk? in
            let name = data.manifest.shards[piece.number].name
            if let wanted, !wanted.contains(name) { return nil }
            var chunk = Chunk()
            let decoder = RecordDecoder()
            do {
                let shard = try piece.shard.get()
                for number in piece.records {
                    try decoder.load(shard, number)
                    chunk.recordCount += 1
                    for (index, field) in decoder.fields.enumerated() {
                        chunk.sums[field.name, default: FieldSums()].add(field, try decoder.fieldBytes(index))
                    }
                }
            } catch {
                chunk.problems.append(ShardError.wrapping(error, path: data.path + "/" + name))
            }
            return chunk
        }
        var sums: [String: FieldSums] = [:]
        for chunk in chunks { for (name, more) in chunk.sums { sums[name, default: FieldSums()].add(more) } }
        return Outcome(
            recordCount: chunks.reduce(0) { $0 + $1.recordCount },
            fields: sums.sorted { $0.key < $1.key }.map { $0.value.statistics(name: $0.key) },
            problems: chunks.flatMap(\.problems))
    }
}

/// Sums over values. Those of integers are exact; those of floats are added record by record, chunk by chunk.
private struct FieldSums: Sendable {
    struct Channel: Sendable {
        var known = 0
        var unknown = 0
        // Integers, in units of 1 (uint8) or 1/257 of it (uint16): 255 × 257 = 65535, so both add up.
        var sum: UInt64 = 0
        var squares: UInt128 = 0
        var floatSum = 0.0
        var floatSquares = 0.0
        var minimum = Double.infinity
        var maximum = -Double.infinity

        mutating func add(_ more: Channel) {
            known += more.known
            unknown += more.unknown
            sum += more.sum
            squares += more.squares
            floatSum += more.floatSum
            floatSquares += more.floatSquares
            minimum = min(minimum, more.minimum)
            maximum = max(maximum, more.maximum)
        }

        var statistics: FieldStatistics.Channel {
            let all = known + unknown
            let count = Double(known)
            let mean = (Double(sum) / 65535 + floatSum) / count
            let square = (Double(squares) / (65535 * 65535) + floatSquares) / count
            let isThere = known > 0
            return FieldStatistics.Channel(
                mean: isThere ? mean : nil, deviation: isThere ? max(0, square - mean * mean).squareRoot() : nil,
                minimum: isThere ? minimum : nil, maximum: isThere ? maximum : nil,
                unknownShare: all > 0 ? Double(unknown) / Double(all) : 0)
        }
    }

    private var records = 0
    private var elements: Set<ElementType> = []
    private var sizes: [[Int]: Int] = [:]
    private var channels: [Channel] = []
    /// Counts of floats by the upper 20 of the bits that order them. Grows to what occurs.
    private var buckets: [UInt32: Int] = [:]

    private static let bucketShift: UInt32 = 12

    mutating func add(_ field: FieldDescription, _ bytes: UnsafeRawBufferPointer) {
        records += 1
        elements.insert(field.element)
        sizes[[field.height, field.width], default: 0] += 1
        while channels.count < field.channels { channels.append(Channel()) }
        for channel in 0..<field.channels {
            var own = Channel()
            switch field.element {
            case .uint8:
                own = integers(bytes, channel, field.channels, UInt8.self, scale: 257)
            case .uint16:
                own = integers(bytes, channel, field.channels, UInt16.self, scale: 1)
            case .float32:
                own = floats(bytes, channel, field.channels)
            }
            channels[channel].add(own)
        }
    }

    private func integers<T: FixedWidthInteger & UnsignedInteger>(
        _ bytes: UnsafeRawBufferPointer, _ channel: Int, _ stride: Int, _ type: T.Type, scale: UInt64
    ) -> Channel {
        let values = bytes.bindMemory(to: T.self)
        var own = Channel()
        var (sum, squares, low, high) = (UInt64(0), UInt64(0), T.max, T.min)
        for place in Swift.stride(from: channel, to: values.count, by: stride) {
            let value = values[place]
            sum &+= UInt64(value)
            // 2³² × 2³⁰ values stay inside.
            squares &+= UInt64(value) &* UInt64(value)
            low = min(low, value)
            high = max(high, value)
        }
        own.known = values.count / stride
        own.sum = sum * scale
        own.squares = UInt128(squares) * UInt128(scale * scale)
        own.minimum = Double(low) / Double(T.max)
        own.maximum = Double(high) / Double(T.max)
        return own
    }

    private mutating func floats(_ bytes: UnsafeRawBufferPointer, _ channel: Int, _ stride: Int) -> Channel {
        let values = bytes.bindMemory(to: Float.self)
        var own = Channel()
        // Neighbours mostly fall into one bucket.
        var (bucket, count) = (UInt32.max, 0)
        for place in Swift.stride(from: channel, to: values.count, by: stride) {
            let value = values[place]
            guard value.isFinite else {
                own.unknown += 1
                continue
            }
            own.known += 1
            own.floatSum += Double(value)
            own.floatSquares += Double(value) * Double(value)
            own.minimum = min(own.minimum, Double(value))
            own.maximum = max(own.maximum, Double(value))
            let found = Self.bucket(of: value)
            if found != bucket {
                if count > 0 { buckets[bucket, default: 0] += count }
                (bucket, count) = (found, 0)
            }
            count += 1
        }
        if count > 0 { buckets[bucket, default: 0] += count }
        return own
    }

    /// Buckets are ordered as the floats are.
    private static func bucket(of value: Float) -> UInt32 {
        let bits = (value + 0).bitPattern
        return (bits >> 31 == 1 ? ~bits : bits | 1 << 31) >> bucketShift
    }

    /// The middle of a bucket.
    private static func value(of bucket: UInt32) -> Double {
        let bits = bucket << bucketShift | 1 << (bucketShift - 1)
        return Double(Float(bitPattern: bits >> 31 == 1 ? bits & ~(1 << 31) : ~bits))
    }

    mutating func add(_ more: FieldSums) {
        records += more.records
        elements.formUnion(more.elements)
        sizes.merge(more.sizes, uniquingKeysWith: +)
        while channels.count < more.channels.count { channels.append(Channel()) }
        for (number, channel) in more.channels.enumerated() { channels[number].add(channel) }
        buckets.merge(more.buckets, uniquingKeysWith: +)
    }

    func statistics(name: String) -> FieldStatistics {
        let ordered = buckets.sorted { $0.key < $1.key }
        let total = ordered.reduce(0) { $0 + $1.value }
        var percentiles: [FieldStatistics.Percentile]?
        var histogram: [FieldStatistics.Bin]?
        if total > 0 {
            let low = channels.map(\.minimum).min() ?? 0
            let high = channels.map(\.maximum).max() ?? 0
            percentiles = [1, 5, 25, 50, 75, 95, 99].map { percent in
                let rank = Int((Double(total - 1) * percent / 100).rounded())
                var seen = 0
                let bucket = ordered.first {
                    seen += $0.value
                    return seen > rank
                }
                let value = bucket.map { Self.value(of: $0.key) } ?? high
                return FieldStatistics.Percentile(percent: percent, value: min(max(value, low), high))
            }
            let binCount = high > low ? 20 : 1
            var counts = [Int](repeating: 0, count: binCount)
            for (bucket, count) in ordered {
                let place = (Self.value(of: bucket) - low) / (high - low) * Double(binCount)
                counts[binCount == 1 ? 0 : min(binCount - 1, max(0, Int(place)))] += count
            }
            histogram = counts.enumerated().map { number, count in
                func edge(_ number: Int) -> Double { low + (high - low) * Double(number) / Double(binCount) }
                return FieldStatistics.Bin(from: edge(number), to: edge(number + 1), count: count)
            }
        }
        return FieldStatistics(
            name: name,
            element: elements.sorted { $0.rawValue < $1.rawValue }.map(\.name).joined(separator: "|"),
            records: records,
            sizes: sizes.map { FieldStatistics.Size(height: $0.key[0], width: $0.key[1], records: $0.value) }
                .sorted { ($1.records, $0.height, $0.width) < ($0.records, $1.height, $1.width) },
            channels: channels.map(\.statistics), percentiles: percentiles, histogram: histogram)
    }
}
