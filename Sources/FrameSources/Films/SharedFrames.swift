import Basics
import Synchronization

/// Frames of one film for many threads. Items are asked for in about their order, so one decoder serves them all:
/// whoever asks first for a frame decodes up to it and leaves what lies between for the others. Memory is bounded:
/// if too many frames wait, the oldest go, and asking for one of them, or for any frame that is past, decodes again from
/// the beginning. What a frame holds never depends on who asked when.
final class SharedFrames: @unchecked Sendable {
    private static let waitingBytes = 1 << 29

    private let plan: FilmPlan
    private let options: FilmOptions
    private let keptNumbers: Set<Int>
    private let lock = Mutex(())
    // Below: only under the lock.
    private var reader: FrameReader?
    private var next = 0
    private var waiting: [Int: PixelArray] = [:]
    /// Why this film gives no more frames, after a second try.
    private var failure: ImageError?
    private var retries = 1
    private(set) var startCount = 0

    init(_ plan: FilmPlan, options: FilmOptions) {
        self.plan = plan
        self.options = options
        keptNumbers = Set(plan.kept)
    }

    /// Views of a frame that the plan keeps.
    /// - Throws: `ImageError` (65, 74), `FileError` (66, 74).
    func record(key: String, number: Int) throws -> Record {
        let picture = try lock.withLock { _ in try take(number) }
        let (left, right) = plan.views(of: picture)
        return Record(key: key, fields: [Record.Field(FieldName.left, left), Record.Field(FieldName.right, right)])
    }

    private func take(_ number: Int) throws -> PixelArray {
        if let failure { throw failure }
        if let picture = waiting.removeValue(forKey: number) { return picture }
        while true {
            do {
                return try decode(upTo: number)
            } catch let error as ImageError {
                close()
                guard retries > 0 else {
                    failure = error
                    throw error
                }
                retries -= 1
            }
        }
    }

    private func decode(upTo number: Int) throws -> PixelArray {
        if reader == nil || next > number {
            close()
            startCount += 1
            reader = try FrameReader(
                plan.film, sampling: options.sampling, pairsFrames: plan.shape.arrangement == .alternating,
                silenceSeconds: options.silenceSeconds)
        }
        while let frame = try reader?.next() {
            next = frame.number + 1
            if frame.number == number {
                if number == plan.kept.last { close() }
                return frame.picture
            }
            guard keptNumbers.contains(frame.number) else { continue }
            waiting[frame.number] = frame.picture
            if waiting.count * frame.picture.bytes.count > Self.waitingBytes, let oldest = waiting.keys.min() {
                waiting[oldest] = nil
            }
        }
        throw ImageError(
            path: plan.film.path, "ended before frame \(number), which was there when it was looked through",
            remedy: "check whether the film is still being written", exitCode: .inputOutput)
    }

    private func close() {
        reader?.stop()
        reader = nil
        next = 0
    }
}
