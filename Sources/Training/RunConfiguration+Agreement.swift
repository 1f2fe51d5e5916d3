extension RunConfiguration {
    /// What all ranks of a run must have in common, by the names of options: everything but places and what changes
    /// nothing that another rank sees. Data and kernels, which are no options, must agree too.
    public func agreement(resume: Bool) throws -> [(name: String, value: String)] {
        let own: Set = ["data", "run", "threads", "check-nan", "cache", "cache-size"]
        let fields = Self.fields.filter { !own.contains($0.name) }.map { ($0.name, $0.format(self)) }
        let settings = try resolvedSettings(of: makeNetwork()).map { ("set \($0.name)", $0.value) }
        return fields + settings + [("resume", "\(resume)")]
    }
}
