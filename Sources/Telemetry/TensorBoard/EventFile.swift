import Basics
import Glibc

/// A TensorBoard event file: scalars, pictures and texts by tag and step. Each event is written at once and whole, so that
/// the file can be read while it grows; TensorBoard passes over a last event that a killed process left unfinished.
///
/// **Source:** tensorflow/core/util/event.proto, summary.proto (field numbers), the TFRecord framing.
public final class EventFile {
    public let path: String
    private let descriptor: Int32
    private let clock: () -> Double

    private static let magic = "brain.Event:2"

    /// Starts a new file in `folder`: `events.out.tfevents.SECONDS.HOST.PID.NUMBER`.
    /// - Parameters:
    ///   - step: where a resumed run goes on: what earlier files hold from this step on is void. 0 for a new run.
    ///   - clock: seconds since 1970.
    /// - Throws: `FileError`.
    public init(
        folder: String, host: String, resumingAt step: Int = 0, clock: @escaping () -> Double = EventFile.wallSeconds
    ) throws {
        self.clock = clock
        // Names of hosts come from outside.
        let name = String(host.unicodeScalars.map { $0.isASCII && $0 != "/" && $0.value > 32 ? Character($0) : "_" })
        var seconds = String(Int(clock()))
        seconds = String(repeating: "0", count: max(0, 10 - seconds.count)) + seconds
        var number = 0
        while true {
            let path = "\(folder)/events.out.tfevents.\(seconds).\(name).\(getpid()).\(number)"
            let descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0o644)
            if descriptor >= 0 {
                (self.path, self.descriptor) = (path, descriptor)
                break
            }
            guard errno == EEXIST, number < 1000 else { throw FileError(path: path, action: "create", code: errno) }
            number += 1
        }
        try write { $0.put(3, Self.magic) }
        if step > 0 { try write(step: step) { $0.put(7) { $0.put(1, 1) } } }
    }

    deinit { close(descriptor) }

    /// - Throws: `FileError`.
    public func add(scalars: [(tag: String, value: Double)], step: Int) throws {
        guard !scalars.isEmpty else { return }
        try write(step: step) { event in
            event.put(5) { summary in
                for (tag, value) in scalars {
                    summary.put(1) {
                        $0.put(1, tag)
                        $0.put(2, Float(value))
                    }
                }
            }
        }
    }

    /// - Parameter png: a whole PNG file of `height` x `width` RGB pixels.
    /// - Throws: `FileError`.
    public func add(picture tag: String, png: [UInt8], height: Int, width: Int, step: Int) throws {
        try write(step: step) { event in
            event.put(5) { summary in
                summary.put(1) { value in
                    value.put(1, tag)
                    value.put(4) { image in
                        image.put(1, height)
                        image.put(2, width)
                        image.put(3, 3)
                        image.put(4, bytes: png)
                    }
                }
            }
        }
    }

    /// - Parameter text: Markdown.
    /// - Throws: `FileError`.
    public func add(text tag: String, _ text: String, step: Int) throws {
        try write(step: step) { event in
            event.put(5) { summary in
                summary.put(1) { value in
                    value.put(1, tag)
                    value.put(9) { $0.put(1) { $0.put(1, "text") } }
                    value.put(8) { tensor in
                        tensor.put(1, 7)
                        tensor.put(2) { $0.put(2) { $0.put(1, 1) } }
                        tensor.put(8, text)
                    }
                }
            }
        }
    }

    private func write(step: Int = 0, _ body: (inout ProtobufWriter) -> Void) throws {
        var event = ProtobufWriter()
        event.put(1, clock())
        if step != 0 { event.put(2, step) }
        body(&event)
        let record = Self.record(event.bytes)
        var done = 0
        while done < record.count {
            let count = record[done...].withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if count < 0 && errno == EINTR { continue }
            if count <= 0 { throw FileError(path: path, action: "write", code: count < 0 ? errno : EIO) }
            done += count
        }
    }

    /// Length, checksum of the length, data, checksum of the data.
    static func record(_ data: [UInt8]) -> [UInt8] {
        func littleEndian<Value: FixedWidthInteger>(_ value: Value) -> [UInt8] {
            withUnsafeBytes(of: value.littleEndian) { Array($0) }
        }
        let length = littleEndian(UInt64(data.count))
        return length + littleEndian(CRC32C.masked(length)) + data + littleEndian(CRC32C.masked(data))
    }

    public static func wallSeconds() -> Double {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
    }
}
