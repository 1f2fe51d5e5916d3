import Basics

/// Frames from which nothing is to be learned.
public enum FrameFault: String, Sendable, CaseIterable {
    case black
    /// Little text on black.
    case title
    /// Both views are the same: no depth.
    case mono
    /// Hardly anything changed since the frame that was taken last.
    case repeated = "near-duplicate"
}

/// Judges frames in their order; what is dropped depends on the film alone.
struct FrameChecks {
    private var lastTaken: (grid: PictureGrid, seconds: Double)?

    /// The first fault that a frame has; frames without one count as taken.
    mutating func fault(of views: (PixelArray, PixelArray), seconds: Double) -> FrameFault? {
        let fine = [views.0, views.1].map { PictureGrid($0, height: 90, width: 160) }
        if let fault = Self.darkness(fine[0]), Self.darkness(fine[1]) != nil { return fault }
        let coarse = [views.0, views.1].map { PictureGrid($0, height: 48, width: 84) }
        if Self.isMono(views, coarse) { return .mono }
        if let last = lastTaken, last.grid.colours.count == coarse[0].colours.count {
            let change = coarse[0].difference(from: last.grid, threshold: 8)
            // Frames that follow each other closely are alike by nature: there only true repetitions count.
            let isNear = !(abs(seconds - last.seconds) >= 0.5)
            let isRepeated =
                isNear
                ? change.mean < 0.25 && coarse[0].difference(from: last.grid, threshold: 1).share < 0.001
                : change.mean < 1.5 && change.share < 0.01
            if isRepeated { return .repeated }
        }
        lastTaken = (coarse[0], seconds)
        return nil
    }

    /// Coding makes equal views differ: up to 0.8 % of the cells by more than 12 where it is coarse, while frames of a
    /// real film with hardly any depth have 1.5 %. In between it counts whether anything has moved sideways.
    private static func isMono(_ views: (PixelArray, PixelArray), _ grids: [PictureGrid]) -> Bool {
        let depth = grids[0].difference(from: grids[1], threshold: 12)
        if depth.mean < 0.7 && grids[0].difference(from: grids[1], threshold: 6).share < 0.003 { return true }
        guard depth.share < 0.02 else { return false }
        var eyes = EyeOrder()
        eyes.add(views)
        let moved = eyes.negative + eyes.positive
        // Of blocks of real frames at least one in seven moves.
        return eyes.unmoved >= 12 && 33 * moved < eyes.unmoved
    }

    private static func darkness(_ grid: PictureGrid) -> FrameFault? {
        let luma = grid.luma
        let count = Double(luma.count)
        let dark = Double(luma.count { $0 < 24 }) / count
        let bright = Double(luma.count { $0 > 110 }) / count
        if dark > 0.995 && bright < 0.0005 { return .black }
        // Letters have hard edges: hardly anything lies between black and bright.
        if dark > 0.8 && bright > 0.002 && 1 - dark - bright < 0.12 { return .title }
        return nil
    }
}
