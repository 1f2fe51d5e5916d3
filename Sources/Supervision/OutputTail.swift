import Glibc

/// Hands output on as it comes, and remembers its last lines.
final class OutputTail {
    static let lineLimit = 200
    static let lineByteLimit = 4096

    private let descriptor: Int32
    private var finished: [String] = []
    private var unfinished: [UInt8] = []
    private(set) var endsWithLine = true

    init(to descriptor: Int32) { self.descriptor = descriptor }

    /// The last lines, one that is not finished included.
    var lines: [String] {
        (finished + (unfinished.isEmpty ? [] : [String(decoding: unfinished, as: UTF8.self)])).suffix(Self.lineLimit)
    }

    func take(_ bytes: ArraySlice<UInt8>) {
        Self.write(bytes, to: descriptor)
        guard let last = bytes.last else { return }
        endsWithLine = last == 10
        for byte in bytes {
            if byte == 10 {
                finished.append(String(decoding: unfinished, as: UTF8.self))
                unfinished.removeAll(keepingCapacity: true)
            } else if unfinished.count < Self.lineByteLimit {
                unfinished.append(byte)
            }
        }
        if finished.count > 2 * Self.lineLimit { finished.removeFirst(finished.count - Self.lineLimit) }
    }

    /// Somebody else has ended the line.
    func hasNewLine() { endsWithLine = true }

    /// For the next job: its last words are its own.
    func forget() {
        finished = []
        unfinished = []
    }

    /// A reader that has gone is no reason to stop.
    static func write(_ bytes: ArraySlice<UInt8>, to descriptor: Int32) {
        bytes.withUnsafeBytes { bytes in
            var offset = 0
            while offset < bytes.count {
                let written = Glibc.write(descriptor, bytes.baseAddress.map { $0 + offset }, bytes.count - offset)
                if written < 0 && errno == EINTR { continue }
                if written < 0 && errno == EAGAIN {
                    var request = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
                    _ = poll(&request, 1, 100)
                    continue
                }
                if written <= 0 { return }
                offset += written
            }
        }
    }
}
