/// Height and width in pixels, written `192x336`.
public struct PixelSize: Sendable, Equatable, CustomStringConvertible {
    public let height: Int
    public let width: Int

    public init(height: Int, width: Int) {
        self.height = height
        self.width = width
    }

    /// nil unless the text is two numbers in 1…65536.
    public init?(text: String) {
        let parts = text.lowercased().split(separator: "x", omittingEmptySubsequences: false).map { Int($0) }
        guard parts.count == 2, let height = parts[0], let width = parts[1], (1...65536).contains(height),
            (1...65536).contains(width)
        else { return nil }
        self.init(height: height, width: width)
    }

    public var description: String { "\(height)x\(width)" }
}
