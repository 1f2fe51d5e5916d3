/// What one rank knows about itself, its machine and its input before step 0. Findings are functions of these alone.
///
/// What a rank could not find out is nil or empty, and nothing is concluded from it.
public struct RankFacts: Codable, Sendable, Equatable {
    public var rank = 0
    public var host = ""
    /// Identifies the running kernel: containers and virtual hosts of one machine share it.
    public var machine = ""
    public var processIdentifier = 0
    /// Number of this rank among those of its host; nil if the launcher does not say.
    public var localRank: Int?
    public var launch = Launch()
    public var program = Program()
    public var kernels: KernelSet?
    /// What must be the same on all ranks, by the names of options.
    public var configuration: [Setting] = []
    public var lanes: Int?
    public var data: DataFolder?
    public var cores = Cores()
    public var memory = Memory()
    public var limits = Limits()
    public var run: RunFolder?
    public var network = Network()
    /// Found out when the ranks met.
    public var clock: Clock?
    public var failedProbes: [FailedProbe] = []

    public init() {}

    public struct Setting: Codable, Sendable, Equatable {
        public var name: String
        public var value: String

        public init(name: String, value: String) {
            self.name = name
            self.value = value
        }
    }

    public struct Launch: Codable, Sendable, Equatable {
        /// Ranks as MPI counts them.
        public var worldSize = 1
        /// Ranks as the launcher's environment says; nil without one, and where it does not say.
        public var launcherWorldSize: Int?
        /// What started the process, as far as the environment tells: `mpirun`, `Hydra`, `Slurm`.
        public var launcher = ""
        /// Tasks of a Slurm step whose processes do not know of each other.
        public var unrelatedTasks: Int?
        /// Processes on this machine that were started with the same command line in the same folder at the same time;
        /// counted without a launcher only.
        public var twins = 0
        /// The MPI library, such as `Open MPI v4.1.4`.
        public var mpiLibrary = ""
        /// File name of the run-time library that the program has loaded, and the one that its mpirun has.
        public var runtime: String?
        public var launcherRuntime: String?
        /// The first line of `mpirun --version`; empty if there is no mpirun; nil if nobody looked.
        public var mpirun: String?
        /// mpirun bound this process to processors.
        public var isBound = false

        public init() {}
    }

    public struct Program: Codable, Sendable, Equatable {
        public var version = ""
        /// Hash of the program's file.
        public var hash: String?
        public var byteCount = 0

        public init() {}
    }

    public struct KernelSet: Codable, Sendable, Equatable {
        /// OpenBLAS' core type and the instruction level of our own kernels.
        public var name: String
        public var openBLAS: String
        /// That the environment forces slower kernels than the processor has, and what to do.
        public var slowdown: String?

        public init(name: String, openBLAS: String, slowdown: String?) {
            self.name = name
            self.openBLAS = openBLAS
            self.slowdown = slowdown
        }
    }

    public struct DataFolder: Codable, Sendable, Equatable {
        public var path = ""
        public var rootHash: String?
        public var size = ""
        public var shardCount = 0
        /// Shards that are not there, and the name of the first.
        public var missingCount = 0
        public var firstMissing: String?
        /// Shards whose files have not the size that the manifest says, and the name of the first.
        public var wrongSizeCount = 0
        public var firstWrongSize: String?
        /// Why the data set cannot be used, and the exit code that goes with it.
        public var problem: String?
        public var problemCode: Int32 = 0

        public init() {}
    }

    public struct Cores: Codable, Sendable, Equatable {
        /// Processors that this process may run on.
        public var mask: ProcessorSet?
        /// Processors that processes of this container or machine may run on.
        public var available: ProcessorSet?
        /// Processor time that a container may use, in processors.
        public var quota: Double?
        /// Compute threads that this rank will run.
        public var threads = 1
        /// Threads that were asked for; 0: as many as there are cores.
        public var threadsAsked = 0

        public init() {}
    }

    public struct Memory: Codable, Sendable, Equatable {
        /// Of the machine or container.
        public var totalByteCount: Int?
        public var availableByteCount: Int?
        /// What a rank will need at most.
        public var neededByteCount: Int?

        public init() {}
    }

    public struct Limits: Codable, Sendable, Equatable {
        /// nil: unlimited, or unknown.
        public var openFiles: Int?
        public var lockedByteCount: Int?

        public init() {}
    }

    public struct RunFolder: Codable, Sendable, Equatable {
        public var path = ""
        /// Of the disk below the folder.
        public var freeByteCount: Int?
        public var neededByteCount: Int?
        /// Why nothing can be written there.
        public var problem: String?
        public var resumes = false
        /// Size of the checkpoint to resume from; nil if there is none.
        public var checkpointByteCount: Int?

        public init() {}
    }

    public struct Interface: Codable, Sendable, Equatable {
        public var name: String
        public var address: String
        public var prefix: Int

        public init(name: String, address: String, prefix: Int) {
            self.name = name
            self.address = address
            self.prefix = prefix
        }
    }

    public struct Network: Codable, Sendable, Equatable {
        /// IPv4 interfaces that MPI may send tensors over.
        public var interfaces: [Interface] = []
        /// Whether MPI sends over TCP, as far as settings tell.
        public var usesTCP = true
        /// InfiniBand or its like is there, and MPI may prefer it.
        public var hasFastNetwork = false
        /// Where this rank listens while the ranks meet: a port for each interface's address.
        public var ports: [Int] = []
        /// What the listener says, so that nobody else is taken for it.
        public var token = ""

        public init() {}
    }

    /// Time of day in seconds, before and after a barrier.
    public struct Clock: Codable, Sendable, Equatable {
        public var entered: Double
        public var left: Double

        public init(entered: Double, left: Double) {
            self.entered = entered
            self.left = left
        }
    }

    /// An address that could not be reached.
    public struct FailedProbe: Codable, Sendable, Equatable {
        /// Rank that listened there.
        public var rank: Int
        public var interface: Interface
        public var reason: String

        public init(rank: Int, interface: Interface, reason: String) {
            self.rank = rank
            self.interface = interface
            self.reason = reason
        }
    }
}
