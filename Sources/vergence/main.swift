import Commands
import MPICollectives

VergenceCommand.run(
    LaunchEnvironment(isUnderLauncher: MPILauncher.isUnderLauncher) {
        guard MPILauncher.isUnderLauncher else { return try LaunchEnvironment.solo.makeCommunicator() }
        return try MPICommunicator()
    })
