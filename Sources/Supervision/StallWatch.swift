/// Somebody who sees whether ranks get on, by other means than MPI. The supervisor asks every half second.
public protocol StallWatch: AnyObject {
    /// What ranks need to report to it.
    var environment: [String: String] { get }
    /// A report, a line or more, once some rank is stuck; nil while all is well.
    func check() -> String?
    /// Has ranks write down where they are.
    func requestStacks()
}
