import ArgumentParser
import Basics

/// `vergence report`: a run as a page.
struct ReportCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "report", abstract: "Writes one HTML page about a run, or one that compares several.",
        discussion: """
            Curves, rates, where the time of each rank went, sample pictures over epochs, configuration, data set, \
            machine. The page needs no network and no other file. A run may be under way.
            Examples:
              vergence report runs/first                         writes runs/first/report.html
              vergence report runs/a runs/b --output ab.html
            """)

    @Argument(help: ArgumentHelp("Folders of runs.", valueName: "run"))
    var runs: [String]
    @Option(help: ArgumentHelp("Page to write. (default: report.html in the folder of the run)", valueName: "file"))
    var output: String?

    func run() throws {
        guard runs.count == 1 || output != nil else {
            throw Failure(.usage, "where shall the page about \(runs.count) runs go? give --output FILE")
        }
        let page = try RunReport(runs: runs.map { try RunSummary(path: $0) }).html()
        let path = output ?? "\(runs[0])/report.html"
        try AtomicFileWriter.write(page, to: path)
        print(path)
    }
}
