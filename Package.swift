// swift-tools-version: 6.0
import PackageDescription

// Imports only go down (ARCHITECTURE.md draws the house). The three walls:
//   1. each system library enters through one C target;
//   2. compute (Tensors … Models) and data (Shards, FrameSources) meet only in Streaming and Training;
//   3. Graphs never sees Kernels.

/// Kernels are useless at -O0, and tests run them in debug builds too. `-ffp-contract=off`: the same bits at every
/// instruction level; fused multiply-adds are written out where they are wanted.
let optimizedC: [CSetting] = [.unsafeFlags(["-O3", "-fno-math-errno", "-ffp-contract=off"])]

let package = Package(
    name: "Vergence",
    products: [
        .executable(name: "vergence", targets: ["vergence"]),
        .executable(name: "vergence-shards", targets: ["vergence-shards"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", exact: "1.8.2"),
        .package(url: "https://github.com/jpsim/Yams", exact: "6.2.2"),
    ],
    targets: [
        // Level 0: system libraries and C
        .systemLibrary(name: "CMPI", pkgConfig: "ompi-c", providers: [.apt(["libopenmpi-dev"])]),
        .systemLibrary(name: "COpenBLAS", pkgConfig: "openblas", providers: [.apt(["libopenblas-dev"])]),
        .systemLibrary(name: "CLZ4", pkgConfig: "liblz4", providers: [.apt(["liblz4-dev"])]),
        .systemLibrary(name: "CXXHash", pkgConfig: "libxxhash", providers: [.apt(["libxxhash-dev"])]),
        .systemLibrary(name: "CPNG", pkgConfig: "libpng", providers: [.apt(["libpng-dev"])]),
        .systemLibrary(name: "CTurboJPEG", pkgConfig: "libturbojpeg", providers: [.apt(["libturbojpeg0-dev"])]),
        .target(name: "CImages", dependencies: ["CPNG"], linkerSettings: [.linkedLibrary("z")]),
        .target(name: "CHDF5", linkerSettings: [.linkedLibrary("dl")]),
        .target(name: "CKernels", cSettings: optimizedC),
        .target(name: "CFilters", cSettings: optimizedC),
        .target(name: "CThreads"),
        .target(name: "CAllocationCounter"),
        .target(name: "CProcesses"),
        // Level 1
        .target(name: "Basics", dependencies: ["CXXHash"]),
        .target(name: "Threads", dependencies: ["CThreads"]),
        // Level 2
        .target(name: "Tensors", dependencies: ["Basics"]),
        .target(name: "Shards", dependencies: ["Basics", "Threads", "CLZ4", "CFilters"], exclude: ["FORMAT.md"]),
        .target(name: "FrameSources", dependencies: ["Basics", "CImages", "CHDF5", "CTurboJPEG", "CProcesses"]),
        .target(name: "Heartbeats", dependencies: ["Basics", "Threads", "CThreads"]),
        .target(name: "Telemetry", dependencies: ["Basics"]),
        .target(name: "Metrics", dependencies: ["Basics"]),
        // Level 3
        .target(name: "Collectives", dependencies: ["Basics", "Threads", "Tensors", "Heartbeats"]),
        .target(name: "Graphs", dependencies: ["Basics", "Tensors"]),
        .target(name: "Kernels", dependencies: ["Tensors", "Threads", "CKernels", "COpenBLAS"]),
        .target(name: "Streaming", dependencies: ["Basics", "Shards", "Tensors", "Threads", "Heartbeats"]),
        .target(name: "MPICollectives", dependencies: ["Basics", "Collectives", "CMPI"]),
        .target(name: "Checkpoints", dependencies: ["Tensors", "Basics"]),
        // Level 4
        .target(name: "Supervision", dependencies: ["Basics", "Checkpoints", "CProcesses"]),
        .target(name: "Execution", dependencies: ["Basics", "Graphs", "Kernels", "Tensors", "Threads"]),
        .target(name: "Diagnosis", dependencies: ["Basics", "Collectives", "Threads"]),
        .target(name: "Optimizers", dependencies: ["Basics", "Tensors", "Kernels", "Threads"]),
        // Level 5, 6
        .target(name: "Operators", dependencies: ["Basics", "Graphs", "Execution", "Kernels", "Tensors"]),
        .target(name: "Models", dependencies: ["Basics", "Tensors", "Graphs", "Kernels", "Operators"]),
        // Level 7
        .target(
            name: "Training",
            dependencies: [
                "Basics", "Tensors", "Kernels", "Graphs", "Execution", "Models", "Optimizers", "Collectives", "Shards",
                "Streaming", "Checkpoints", "Metrics", "FrameSources", "Threads", "Heartbeats", "CAllocationCounter",
            ]),
        // Level 8, 9
        .target(
            name: "Commands",
            dependencies: [
                "Basics", "Threads", "Tensors", "Graphs", "Kernels", "Models", "Collectives", "Shards", "Streaming",
                "FrameSources", "Checkpoints", "Telemetry", "Metrics", "Heartbeats", "Training", "Diagnosis",
                "Supervision",
                .product(name: "ArgumentParser", package: "swift-argument-parser"), "Yams",
            ]),
        .executableTarget(name: "vergence", dependencies: ["Collectives", "Commands", "MPICollectives"]),
        .executableTarget(
            name: "vergence-shards",
            dependencies: [
                "Basics", "Threads", "Shards", "FrameSources", "Streaming", "Telemetry",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ]),
        // Tests
        .target(name: "TestSupport", dependencies: ["Basics"], path: "Tests/TestSupport"),
        .testTarget(name: "BasicsTests", dependencies: ["Basics", "Threads", "Tensors", "TestSupport"]),
        .testTarget(
            name: "KernelsTests",
            dependencies: ["Kernels", "CKernels", "Basics", "Tensors", "Threads", "TestSupport"]),
        .testTarget(name: "HeartbeatTests", dependencies: ["Heartbeats", "Basics", "Threads", "TestSupport"]),
        .testTarget(name: "ShardsTests", dependencies: ["Shards", "Streaming", "TestSupport"]),
        .testTarget(name: "FrameSourcesTests", dependencies: ["FrameSources", "TestSupport"]),
        .executableTarget(
            name: "mpi-probe", dependencies: ["Basics", "Tensors", "Collectives", "MPICollectives", "TestSupport"],
            path: "Tests/MPIProbe"),
        .testTarget(
            name: "CollectivesTests", dependencies: ["Collectives", "MPICollectives", "mpi-probe", "TestSupport"]),
        .testTarget(name: "DiagnosisTests", dependencies: ["Diagnosis", "Collectives", "Basics", "TestSupport"]),
        .testTarget(
            name: "StateTests",
            dependencies: [
                "Checkpoints", "Optimizers", "Kernels", "Tensors", "Telemetry", "Metrics", "Threads", "TestSupport",
            ]),
        .testTarget(
            name: "EngineTests",
            dependencies: [
                "Basics", "Tensors", "Graphs", "Execution", "Operators", "Models", "Kernels", "Optimizers", "Threads",
                "Metrics", "Training", "Checkpoints", "TestSupport", "CAllocationCounter",
            ],
            resources: [.copy("Fixtures")]),
        .testTarget(
            name: "SupervisionTests", dependencies: ["Supervision", "Basics", "Checkpoints", "TestSupport"]),
        .executableTarget(name: "launch-probe", dependencies: ["Supervision", "Basics"], path: "Tests/LaunchProbe"),
        .testTarget(
            name: "CommandTests",
            dependencies: [
                "vergence", "vergence-shards", "launch-probe", "Basics", "Checkpoints", "Shards", "Streaming",
                "FrameSources", "Heartbeats", "TestSupport",
            ]),
    ],
    swiftLanguageModes: [.v6],
    cLanguageStandard: .c11
)
