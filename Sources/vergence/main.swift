import Collectives
import Commands
import MPICollectives

let isUnderLauncher = MPILauncher.isUnderLauncher()
VergenceCommand.run(
    LaunchEnvironment(
        isUnderLauncher: isUnderLauncher, rank: MPILauncher.rank() ?? 0, worldSize: MPILauncher.worldSize(),
        ranksOnHost: MPILauncher.localSize() ?? 1, isBound: MPILauncher.isBound(), localRank: MPILauncher.localRank(),
        unrelatedTasks: MPILauncher.unrelatedTasks(), communicationLibrary: { MPICommunicator.versionOfMPI },
        makeCommunicator: makeCommunicator))

/// Alone, MPI is never touched. (A function, not a closure: it runs on the communication thread, not on the main actor.)
nonisolated func makeCommunicator() throws -> any Communicator {
    MPILauncher.isUnderLauncher() ? try MPICommunicator() : SoloCommunicator()
}
