import ArgumentParser
import Basics
import Models
import Training

/// `vergence recipe`: what a network is trained with unless the user says otherwise.
struct RecipeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "recipe",
        abstract: "Prints a network's whole configuration, ready to be changed and given to train --config.",
        discussion: """
            Examples:
              vergence recipe                      # the networks, a line each
              vergence recipe wnet > wnet.yaml
              vergence train data --config wnet.yaml

            A configuration says all that decides what a run computes. What it leaves out has the network's default, \
            and the command line wins over it.
            """)

    @Argument(
        help: ArgumentHelp("Kind of network; without it, all are listed.", valueName: "model"),
        completion: .list(NetworkRegistry.all.map { $0.name }))
    var model: String?
    @Option(
        name: .customLong("set"),
        help: ArgumentHelp("A setting of the network; may be given several times.", valueName: "name=value"))
    var settings: [String] = []

    func run() throws {
        guard let model else {
            let width = NetworkRegistry.all.map { $0.name.count }.max() ?? 0
            for kind in NetworkRegistry.all {
                let name = kind.name + String(repeating: " ", count: width - kind.name.count)
                print("\(name)  \(kind.summary)")
            }
            return
        }
        var given = RunConfiguration()
        given.model = model
        for setting in settings {
            let (name, value) = try ModelOptions.pair(setting)
            given.settings[name] = value
        }
        var configuration = try given.withRecipe(of: RunConfiguration())
        configuration.model = model
        let kind = try NetworkRegistry.kind(model)
        for setting in kind.settings { configuration.settings[setting.name] = setting.standard }
        configuration.settings.merge(given.settings) { $1 }
        let help = Dictionary(uniqueKeysWithValues: kind.settings.map { ($0.name, $0.help) })
        print(ConfigurationFile.text(configuration, leavingOut: ["data", "run"], settingHelp: help), terminator: "")
    }
}
