import Testing

/// A page whose commands are run, and what stands between them and seconds: files that its reader already has, and other
/// numbers for sizes and steps.
struct DocumentPage: Sendable, CustomTestStringConvertible {
    let name: String
    /// What the reader of the page has: shell, in the page's own folder. `$GIVEN` holds what `Documents.given` made.
    var before = ""
    /// Text of commands → other text; each must occur.
    var smaller: [(String, String)] = []
    /// What goes behind commands that hold a text.
    var more: [(command: String, options: String)] = []
    /// Shell that is run in front of a command: what a page leaves to its reader.
    var hooks: [(command: String, script: String)] = []
    /// Commands that offer another way to something that an earlier one made, which is out of the way meanwhile.
    var alternatives: [(command: String, path: String)] = []
    /// What the page promises, and how many files (0: one or more).
    var leaves: [String] = []

    var testDescription: String { name }

    /// The network of every page that trains W-net.
    static let tiny = "--set width=4 --set levels=8"
    static let measured = tiny + " --size 32x64 --repetitions 1"

    static let all: [DocumentPage] = [
        DocumentPage(
            name: "README.md",
            before:
                "cp -r $GIVEN/frames $GIVEN/film.mkv $GIVEN/left.png $GIVEN/right.png . && mkdir movies && cp $GIVEN/film.mkv movies/ && cp $GIVEN/flat.mp4 2d.mp4",
            smaller: [
                ("192x336", "32x64"), ("--epochs 100", "--epochs 2"), ("train …", "train films --run runs/four-ranks"),
                ("--step 137", "--step 3"), ("--set width=16 --set fc=128", "--set width=4 --set fc=16"),
                ("input-height=192", "input-height=32"), ("input-width=320", "input-width=64"),
                ("--steps 300", "--steps 2"),
            ],
            more: [
                ("--epochs", tiny), ("-n 2 -- train", tiny + " --lane-batch 1 --steps 6"),
                ("debug step", tiny), ("--ranks 4", tiny + " --lanes 4 --lane-batch 1 --steps 3 --threads 1"),
                ("--check-nan", tiny + " --lanes 4 --lane-batch 1 --steps 3 --threads 1"),
                ("bench train-step", measured), ("vergence scale", tiny + " --size 32x64"),
            ],
            hooks: [
                ("vergence report runs/films runs/other", "cp -r runs/films runs/other"),
                ("vergence debug step", "vergence export --checkpoint runs/films --output w.safetensors"),
                (
                    "vergence debug compare",
                    "vergence train films --run runs/four-ranks --ranks 4 --threads 1 --lanes 4 --lane-batch 1 --steps 3 "
                        + "\(tiny) && vergence train films --run runs/one-rank --threads 1 --lanes 4 --lane-batch 1 "
                        + "--steps 3 \(tiny)"
                ),
            ],
            alternatives: [
                ("vergence-shards convert movies", "films"), ("vergence launch -n 2", "runs/films"),
                ("vergence train films --run runs/four-ranks", "runs/four-ranks"),
            ],
            leaves: [
                "maps/film_LRF_Full_SBS.mkv", "maps/2d_LRF_Full_SBS.mkv", "maps/left_disparity_left.png",
                "maps/00000_disparity_left.pfm",
                "runs/films/report.html", "both.html",
                "out.safetensors",
            ]),
        DocumentPage(
            name: "docs/tutorial.md", before: "cp -r $GIVEN/frames .",
            smaller: [("96x160", "32x64"), ("--steps 300", "--steps 4")],
            more: [("vergence train", tiny), ("-- train", tiny)],
            leaves: [
                "zero.png", "runs/first/report.html", "maps/00000_disparity_left.pfm", "maps/00023_disparity_left.pfm",
                "wnet.safetensors",
            ]),
        DocumentPage(
            name: "docs/films.md",
            before:
                "cp -r $GIVEN/frames $GIVEN/film.mkv . && cp -r $GIVEN/runs/films run && mkdir films && for i in a b c; "
                + "do cp film.mkv films/$i.mkv; done",
            smaller: [("192x336", "32x64")],
            alternatives: [("--packing half-sbs", "film.data"), ("--scenes", "film.data")],
            leaves: [
                "zero.png", "out/film_depth.mkv", "out/film_depth_16.mkv", "out/film_LRF_Full_SBS.mkv", "red-cyan.mp4",
                "raw/film_right_rebuilt.mkv", "metres/film_depth_16.mkv", "small/film_TB.mkv", "maps/00000_points.ply",
                "maps/contact-sheet-1.png",
            ]),
        DocumentPage(
            name: "docs/baselines.md",
            before: "cp -r $GIVEN/films $GIVEN/runs . && cp -r $GIVEN/data kitti",
            smaller: [("0:127", "0:15")]),
        DocumentPage(
            name: "docs/data.md",
            before: "cp -r $GIVEN/films . && cp -r $GIVEN/films films.data && cp -r $GIVEN/films cards.data && "
                + "cp -r $GIVEN/films kitti && mkdir server scratch && cp -r $GIVEN/films server/",
            smaller: [("/mnt/server", "server"), ("/scratch", "scratch")],
            more: [("vergence train", tiny + " --lanes 2 --lane-batch 3 --steps 3 --threads 1")],
            hooks: [
                (
                    "vergence-shards salvage",
                    "cp -r scenes.data x.data && truncate -s -100 x.data/train-00000.shard.lz4"
                )
            ],
            alternatives: [("vergence train server/films", "runs/a")],
            leaves: ["mended.data/manifest.json", "three.png", "six.png", "scratch/shards", "small.data/manifest.json"]),
        DocumentPage(
            name: "docs/doctor.md", before: "cp -r $GIVEN/data . && echo localhost slots=4 > hosts",
            more: [("--run runs/first", tiny + " --lane-batch 1")]),
        DocumentPage(
            name: "docs/export.md",
            before: "cp -r $GIVEN/films $GIVEN/runs $GIVEN/frames . && cp -r $GIVEN/left.png $GIVEN/right.png .",
            smaller: [
                ("192x336", "32x64"), ("192, 336", "32, 48"), ("width=32", "width=4"), ("levels=32", "levels=8"),
            ],
            hooks: [("vergence predict frames", "test -e mine.safetensors || cp wnet.safetensors mine.safetensors")],
            leaves: ["wnet.onnx", "all.onnx", "mine.onnx", "maps/00000_disparity_left.pfm"]),
        DocumentPage(
            name: "docs/networks.md",
            smaller: [
                ("--pairs 800", "--pairs 24"), ("--pairs 400", "--pairs 24"), ("--set fc=128", "--set fc=16"),
                ("--set width=16", "--set width=4"), ("--lane-batch 8", "--lane-batch 2"),
                ("--lane-batch 4", "--lane-batch 1"), ("--steps 765", "--steps 2"), ("--steps 135", "--steps 2"),
                ("--steps 44", "--steps 2"), ("--steps 720", "--steps 2"), ("--steps 270", "--steps 2"),
                ("--steps 1200", "--steps 2"), ("hidden=256", "hidden=16"), ("growth=16", "growth=4"),
                ("width=256", "width=32"), ("64x96", "32x64"), ("input-height=64", "input-height=32"),
                ("input-width=96", "input-width=64"),
            ],
            hooks: [
                (
                    "vergence predict pictures --checkpoint runs/right",
                    "mkdir pictures && vergence-shards show hazy --record 0 --field left -o pictures/a.png"
                ),
                (
                    "vergence predict pictures --checkpoint runs/mask",
                    "rm -r pictures && mkdir -p pictures/background pictures/image && for field in background image; do "
                        + "vergence-shards show overlays --record 0 --field $field -o pictures/$field/a.png; done"
                ),
                ("vergence-shards synth rooms --kind mono --pairs 24 --size 96x128", "rm -r rooms"),
                (
                    "vergence predict pictures --checkpoint runs/dense",
                    "rm -r pictures && mkdir pictures && vergence-shards show rooms --record 0 --field image -o pictures/a.png"
                ),
            ],
            leaves: ["shown/a_right_rebuilt.png", "masks", "depth"]),
        DocumentPage(
            name: "docs/performance.md", before: "cp -r $GIVEN/films .", smaller: [("--steps 300", "--steps 3")],
            more: [
                ("bench train-step", measured + " --no-limits"), ("bench inference", measured + " --no-limits"),
                ("bench loader", "--size 32x64 --repetitions 1"), ("vergence train", tiny), ("launch/local", tiny),
            ]),
        DocumentPage(
            name: "docs/scale.md", before: "cp -r $GIVEN/runs . && cp -r runs/films runs/other",
            smaller: [
                ("-host a,b,c,d", "--oversubscribe --bind-to none --mca mpi_yield_when_idle 1"),
                ("-host a,b", "--oversubscribe --bind-to none --mca mpi_yield_when_idle 1"),
                ("RUN-ON-UNLIMITED-CABLES", "runs/films"), ("RUN-AT-1-GBIT", "runs/other"),
            ],
            more: [("bench allreduce", tiny + " --repetitions 2")], leaves: ["two.json", "four.json"]),
        DocumentPage(
            name: "docs/wnet-plus.md",
            before: "for folder in image_0 image_1 disp_noc; do mkdir -p kitti2012/training/$folder; done; "
                + "for i in 0 1 2 3 4; do for eye in left right; do vergence-shards show $GIVEN/films --record $i --field $eye "
                + "-o kitti2012/training/image_$([ $eye = left ] && echo 0 || echo 1)/00000${i}_10.png; done; "
                + "cp $GIVEN/truth.png kitti2012/training/disp_noc/00000${i}_10.png; done",
            smaller: [("80x256", "32x64")], leaves: ["kitti/manifest.json"]),
    ]

    /// Commands that no test runs, whole, and why.
    struct LeftOut: Sendable {
        let page: String
        let command: String
        let reason: String
    }

    static let leftOut: [LeftOut] = [
        LeftOut("README.md", "launch/demo", "minutes; needs apt-get where packages are missing"),
        LeftOut("README.md", "launch/test", "is what runs this test"),
        LeftOut("README.md", "swift build -c release", "minutes; these tests run what it builds"),
        LeftOut("README.md", "tensorboard --logdir runs", tensorboard),
        LeftOut(
            "README.md",
            "vergence launch --hostfile hosts --network 10.0.0.0/24 -- train /shared/films --run /shared/runs/films --lanes 16",
            "other machines; Tests/Cluster/hosts starts such runs on test hosts"),
        LeftOut(
            "README.md", "sbatch cluster/slurm.sbatch /shared/films /shared/runs/films --lanes 16",
            "a Slurm account; Tests/Cluster/slurm submits it to a Slurm of its own"),
        LeftOut("docs/tutorial.md", "launch/demo", "minutes; needs apt-get where packages are missing"),
        LeftOut("docs/tutorial.md", "tensorboard --logdir runs", tensorboard),
        LeftOut("docs/baselines.md", "Tests/Peers/matchers --kitti kitti2012 --all", pypi),
        LeftOut("docs/baselines.md", "Tests/Peers/matchers --kitti kitti2012 --films frames --train runs", pypi),
        LeftOut("docs/data.md", "Tests/Peers/loaders FOLDER --only readers --rounds 5 --json figures.json", pypi),
        LeftOut("docs/data.md", "Tests/Fuzz/run shard 60", "minutes: builds with sanitizers"),
        LeftOut("docs/export.md", "Tests/Peers/readers --prepare", pypi),
        LeftOut("docs/export.md", "Tests/Peers/readers", pypi + "; ExportTests has each of its readers"),
        LeftOut("docs/networks.md", "Tests/Peers/networks --python .peers-venv/bin/python", pypi),
        LeftOut("docs/performance.md", "Tests/Peers/compare --rounds 2", pypi),
        LeftOut("docs/wnet-plus.md", "Tests/Ablation/run", "an hour of training"),
        LeftOut(
            "docs/wnet-plus.md",
            "Tests/Ablation/run --data kitti --set width=16,levels=48 --seeds 1 "
                + "--only wnet,wnet:range=positive,wnet-plus:range=positive --keep runs", "an hour of training"),
        LeftOut("docs/wnet-plus.md", "Tests/Peers/matchers --kitti kitti2012 --train runs", pypi),
    ]

    private static let pypi = "packages from PyPI"
    private static let tensorboard =
        "a server that does not end; ExportTests reads its files with TensorBoard's own reader"
}

extension DocumentPage.LeftOut {
    fileprivate init(_ page: String, _ command: String, _ reason: String) {
        self.init(page: page, command: command, reason: reason)
    }
}
