import Basics
import FrameSources
import TestSupport
import Testing

private let nan = Float.nan

@Suite struct KITTIFieldTests {
    private let tree = Tree("kitti-fields")

    @Test func masksObjectsAndCalibrationOf2015() throws {
        try tree.put(noise(1, 3, 3, .uint8), "training/image_2/000004_10.png", "training/image_3/000004_10.png")
        try tree.put(noise(1, 3, 3, .uint8), "training/image_2/000004_11.png", "training/image_3/000004_11.png")
        try tree.put(words([256, 512, 0]), "training/disp_occ_0/000004_10.png")
        try tree.put(words([256, 0, 0]), "training/disp_noc_0/000004_10.png")
        try tree.put(gray([[0, 3, 0]]), "training/obj_map/000004_10.png")
        try tree.put(
            """
            S_rect_02: 1.242000e+03 3.750000e+02
            P_rect_02: 7.2e+02 0 6.0e+02 4.5e+01 0 7.2e+02 1.7e+02 0 0 0 1 0
            P_rect_03: 7.2e+02 0 6.03e+02 -3.15e+02 0 7.2e+02 1.7e+02 0 0 0 1 0
            """, "training/calib_cam_to_cam/000004.txt")
        let items = try KITTI(root: tree.root, groundTruth: .all).items()
        #expect(items.map(\.key) == ["000004_10"])
        let record = try items[0].load()
        #expect(record.fields.map(\.name) == ["left", "right", "disparity", "visible", "objects", "calibration"])
        #expect(same(values(record, "disparity"), [1, 2, nan]))
        #expect(record["visible"]?.bytes == [255, 0, 0] && record["objects"]?.bytes == [0, 3, 0])
        // Baseline: 45 / 720 + 315 / 720 = 0.5 m.
        #expect(values(record, "calibration") == [720, 0.5, 3])

        let frames = try KITTI(root: tree.root, takesAllFrames: true).items()
        #expect(frames.map(\.key) == ["000004_10", "000004_11"] && frames.map(\.group) == ["000004", "000004"])
        #expect(try frames[1].load()["disparity"] == nil)
    }

    @Test func grayViewsTakeGrayCameras() throws {
        try tree.put(gray([[1, 2]]), "image_0/000000_10.png", "image_1/000000_10.png")
        try tree.put(gray([[1, 2]]), "colored_0/000000_10.png", "colored_1/000000_10.png")
        let zeros = "0 0 0 0 1 0 0 0 0 1 0"
        try tree.put(
            "P0: 10 \(zeros)\nP1: 10 0 0 -5 0 1 0 0 0 0 1 0\nP2: 20 \(zeros)\nP3: 20 0 0 -5 0 1 0 0 0 0 1 0\n",
            "calib/000000.txt")
        let grayRig = values(try KITTI(root: tree.root).items()[0].load(), "calibration")
        let colourRig = values(try KITTI(root: tree.root, prefersColour: true).items()[0].load(), "calibration")
        #expect(grayRig == [10, 0.5, 0] && colourRig == [20, 0.25, 0])
        try tree.put("P0: 1 2 3\n", "calib/000000.txt")
        let item = try KITTI(root: tree.root).items()[0]
        #expect(try #require(failure { _ = try item.load() }).1.contains("000000.txt: no P0: with 12 numbers"))
    }
}

@Suite struct MiddleburySetTests {
    private let tree = Tree("middlebury-sets")

    @Test func theSetsOf2001() throws {
        try tree.put(noise(1, 3, 3, .uint8), "venus/im2.ppm", "venus/im6.ppm", "venus/im0.ppm")
        try tree.put(gray([[0, 8, 20]]), "venus/disp2.pgm")
        try tree.put(gray([[1, 2, 3]]), "map/im0.pgm", "map/im1.pgm")
        try tree.put(gray([[8, 16, 0]]), "map/disp0.pgm")
        try tree.put(noise(1, 3, 3, .uint8), "tsukuba/scene1.row3.col3.ppm", "tsukuba/scene1.row3.col4.ppm")
        try tree.put(gray([[16, 40, 0]]), "tsukuba/truedisp.row3.col3.pgm")
        let items = try Middlebury(root: tree.root).items()
        #expect(items.map(\.key) == ["map", "tsukuba", "venus"])
        let wanted: [[Float]] = [[1, 2, nan], [1, 2.5, nan], [nan, 1, 2.5]]
        for (item, disparity) in zip(items, wanted) {
            #expect(same(values(try item.load(), "disparity"), disparity), "\(item.key)")
        }
    }

    @Test func geometryOf2006() throws {
        // 463 pixels are the third size: disparities, focal length and offset are divided by 3.
        try tree.put(noise(1, 463, 3, .uint8), "Baby1/view1.png", "Baby1/view5.png")
        try tree.put(gray([[UInt8](repeating: 30, count: 463)]), "Baby1/disp1.png", "Baby1/disp5.png")
        try tree.put("270\n", "Baby1/dmin.txt")
        let record = try Middlebury(root: tree.root).items()[0].load()
        #expect(values(record, "disparity").allSatisfy { $0 == 10 } && values(record, "disparity_right")[7] == 10)
        #expect(values(record, "calibration") == [3740 / 3, 0.16, 90])
    }

    @Test func masksCalibrationAndOtherExposures() throws {
        try tree.put(gray([[1, 2, 3]]), "Bike/im0.png", "Bike/im1.png")
        try tree.put(gray([[4, 5, 6]]), "Bike/im1E.png")
        try tree.put(map([[.infinity, -1.5, 7]]), "Bike/disp0GT.pfm")
        try tree.put(gray([[0, 128, 255]]), "Bike/mask0nocc.png")
        try tree.put(
            "cam0=[994.978 0 311.193; 0 994.978 254.877; 0 0 1]\ncam1=[994.978 0 342.279; 0 994.978 254.877; 0 0 1]\n"
                + "doffs=31.086\nbaseline=193.001\nwidth=741\n", "Bike/calib.txt")
        let record = try Middlebury(root: tree.root).items()[0].load()
        #expect(same(values(record, "disparity"), [nan, -1.5, 7]))
        #expect(record["visible"]?.bytes == [0, 0, 255])
        #expect(values(record, "calibration") == [994.978, Float(193.001) / 1000, 31.086])
        let other = try Middlebury(root: tree.root, rightView: .exposure).items()[0].load()
        #expect(other["left"]?.bytes == [1, 2, 3] && other["right"]?.bytes == [4, 5, 6])
        let third = try Middlebury(root: tree.root, rightView: .light).items()[0]
        #expect(try #require(failure { _ = try third.load() }).1.contains("im1L.png: not there"))

        // Half the width: half the focal length and offset, the same baseline.
        let half = Resizing.record(record, height: 1, width: 1)
        let third1 = Float(1.0 / 3)
        #expect(values(half, "calibration") == [994.978 * third1, Float(193.001) / 1000, 31.086 * third1])
    }

    @Test func aRootOneLevelTooHighIsNamed() throws {
        try tree.put(gray([[1]]), "trainingQ/Bike/im0.png", "trainingQ/Bike/im1.png")
        let (code, line) = try #require(failure { _ = try Middlebury(root: tree.root).items() })
        #expect(code == .missingInput && line.contains("its sub-folder trainingQ holds scenes"))
    }
}

@Suite struct ETH3DTests {
    private let tree = Tree("eth3d")

    private func put(_ scene: String, _ views: PixelArray) throws {
        try tree.put(views, "two_view_training/\(scene)/im0.png", "two_view_training/\(scene)/im1.png")
        try tree.put(
            "cam0=[541.764 0 553.869; 0 541.764 232.396; 0 0 1]\ncam1=[541.764 0 553.869; 0 541.764 232.396; 0 0 1]\n"
                + "doffs=0\nbaseline=59.9636\n", "two_view_training/\(scene)/calib.txt")
    }

    @Test func grayAndColourScenesWithMasks() throws {
        try put("delivery_area_1l", gray([[1, 2, 3]]))
        try put("terrains_2s", noise(1, 3, 3, .uint8))
        for scene in ["delivery_area_1l", "terrains_2s"] {
            try tree.put(map([[1.25, .infinity, 3]]), "two_view_training_gt/\(scene)/disp0GT.pfm")
            try tree.put(gray([[255, 0, 128]]), "two_view_training_gt/\(scene)/mask0nocc.png")
        }
        let items = try ETH3D(root: tree.root).items()
        #expect(items.map(\.key) == ["delivery_area_1l", "terrains_2s"])
        for (item, channels) in zip(items, [1, 3]) {
            let record = try item.load()
            #expect(record["left"]?.channels == channels)
            #expect(same(values(record, "disparity"), [1.25, nan, 3]) && record["visible"]?.bytes == [255, 0, 0])
            #expect(values(record, "calibration") == [541.764, Float(59.9636) / 1000, 0])
        }
        // A scene whose ground truth is missing is broken, not unlabelled.
        try put("forest_1s", gray([[1, 2, 3]]))
        let broken = try ETH3D(root: tree.root).items()[1]
        #expect(try #require(failure { _ = try broken.load() }).1.contains("forest_1s/disp0GT.pfm: not there"))
    }

    @Test func testScenesAndWrongRoots() throws {
        let (code, line) = try #require(failure { _ = try ETH3D(root: tree.root).items() })
        #expect(code == .missingInput && line.contains("no sub-folder two_view_training"))
        try tree.put(gray([[1]]), "two_view_test/lakeside_1l/im0.png", "two_view_test/lakeside_1l/im1.png")
        let items = try ETH3D(root: tree.path("two_view_test")).items()
        #expect(try items.count == 1 && items[0].load()["disparity"] == nil)
        try tree.put(map([[1]]), "two_view_training_gt/x/disp0GT.pfm")
        let half = try #require(failure { _ = try ETH3D(root: tree.root).items() })
        #expect(half.1.contains("no sub-folder two_view_training beside two_view_training_gt"))
    }
}

@Suite struct SceneFlowTests {
    private let tree = Tree("sceneflow")
    private let scenes = [
        "FlyingThings3D/%/TRAIN/A/0000", "FlyingThings3D/%/TEST/B/0149", "Monkaa/%/a_rain_of_stones_x2",
        "Driving/%/15mm_focallength/scene_backwards/fast",
    ]

    private func place(_ scene: String, _ middle: String, _ rest: String) -> String {
        scene.split(separator: "%").joined(separator: middle) + "/" + rest
    }

    private func makeTree() throws {
        for scene in scenes {
            for pass in ["frames_cleanpass", "frames_finalpass"] {
                try tree.put(noise(1, 2, 3, .uint8), place(scene, pass, "left/0006.png"))
                try tree.put(noise(1, 2, 3, .uint8, seed: 2), place(scene, pass, "right/0006.png"))
            }
            try tree.put(map([[3.5, 60]]), place(scene, "disparity", "left/0006.pfm"))
            try tree.put(map([[-3.5, -1]]), place(scene, "disparity", "right/0006.pfm"))
        }
    }

    @Test func threePartsWithTheirOwnPartsAndRigs() throws {
        try makeTree()
        let items = try SceneFlow(root: tree.root, pass: .clean).items()
        #expect(
            items.map(\.key) == [
                "Driving/15mm_focallength/scene_backwards/fast/0006", "FlyingThings3D/TEST/B/0149/0006",
                "FlyingThings3D/TRAIN/A/0000/0006", "Monkaa/a_rain_of_stones_x2/0006",
            ])
        #expect(items.map(\.part) == [nil, .test, .train, nil])
        #expect(items[1].group == "FlyingThings3D/TEST/B/0149")
        for (item, focal) in zip(items, [Float(450), 1050, 1050, 1050]) {
            let record = try item.load()
            #expect(values(record, "disparity") == [3.5, 60] && values(record, "disparity_right") == [3.5, 1])
            #expect(values(record, "calibration") == [focal, 1, 0])
        }
        let one = try SceneFlow(root: tree.path("Monkaa")).items()
        #expect(one.map(\.key) == ["a_rain_of_stones_x2/0006"])
    }

    @Test func whatIsMissingIsNamed() throws {
        let empty = try #require(failure { _ = try SceneFlow(root: tree.root).items() })
        #expect(empty.0 == .missingInput && empty.1.contains("no sub-folder FlyingThings3D, Monkaa or Driving"))
        try tree.put(gray([[1, 2]]), "Monkaa/frames_cleanpass/lonetree_x2/left/0000.png")
        let pass = try #require(failure { _ = try SceneFlow(root: tree.root).items() })
        #expect(pass.1.contains("Monkaa: no sub-folder frames_finalpass"))
        let truth = try #require(failure { _ = try SceneFlow(root: tree.root, pass: .clean).items() })
        #expect(truth.0 == .missingInput && truth.1.contains("no sub-folder disparity"))
        let items = try SceneFlow(root: tree.root, pass: .clean, viewsOnly: true).items()
        #expect(try #require(failure { _ = try items[0].load() }).1.contains("right/0000.png: not there"))
        try tree.put(gray([[1, 2]]), "Monkaa/frames_cleanpass/lonetree_x2/right/0000.png")
        #expect(try items[0].load()["disparity"] == nil)
        try tree.put(map([[1, 2, 3]]), "Monkaa/disparity/lonetree_x2/left/0000.pfm")
        let odd = try SceneFlow(root: tree.root, pass: .clean).items()[0]
        #expect(try #require(failure { _ = try odd.load() }).1.contains("3x1 pixels, but the view has 2x1"))
    }
}

@Suite struct SintelTests {
    private let tree = Tree("sintel")
    private let key = "alley_1/frame_0001.png"

    @Test func disparitiesAreCodedInColour() throws {
        for folder in ["final_left", "final_right"] {
            try tree.put(noise(1, 3, 3, .uint8), "training/\(folder)/\(key)")
        }
        try tree.put(rgb([[(0, 0, 0), (2, 96, 0), (255, 255, 64)]]), "training/disparities/\(key)")
        try tree.put(gray([[0, 255, 0]]), "training/occlusions/\(key)")
        let missing = try #require(failure { _ = try Sintel(root: tree.root).items() })
        #expect(missing.0 == .missingInput && missing.1.contains("training: no sub-folder outofframe"))
        try tree.put(gray([[255, 0, 0]]), "training/outofframe/\(key)")
        for root in [tree.root, tree.path("training")] {
            let item = try Sintel(root: root).items()[0]
            #expect(item.key == "alley_1/frame_0001" && item.group == "alley_1")
            let record = try item.load()
            #expect(values(record, "disparity") == [0, 9.5, 1020 + 255.0 / 64 + 64.0 / 16384])
            #expect(record["visible"]?.bytes == [0, 0, 255])
        }
        let pass = try #require(failure { _ = try Sintel(root: tree.root, pass: .clean).items() })
        #expect(pass.1.contains("no sub-folder clean_left"))
    }

    @Test func partnersAndKindsAreChecked() throws {
        for folder in ["clean_left", "clean_right", "occlusions", "outofframe"] {
            try tree.put(gray([[0, 0]]), "\(folder)/\(key)")
        }
        try tree.put(gray([[0, 0]]), "disparities/\(key)", "disparities/alley_1/frame_0002.png")
        let items = try Sintel(root: tree.root, pass: .clean).items()
        #expect(try #require(failure { _ = try items[0].load() }).1.contains("Sintel's disparities are 8-bit RGB"))
        #expect(
            try #require(failure { _ = try items[1].load() }).1.contains("clean_left/alley_1/frame_0002.png: not there")
        )
    }
}

@Suite struct DepthScenesTests {
    private let tree = Tree("depth-scenes")

    @Test func tartanAir() throws {
        let base = "office/Easy/P000"
        try tree.put(gray([[1, 2, 3]]), "\(base)/image_left/000000_left.png", "\(base)/image_right/000000_right.png")
        let half = try #require(failure { _ = try DepthScenes(root: tree.root, kind: .tartanAir).items() })
        #expect(half.0 == .missingInput && half.1.contains("P000: no sub-folder depth_left"))
        try tree.put(map([[80, 10, .infinity]]), "\(base)/depth_left/000000_left_depth.npy")
        let item = try DepthScenes(root: tree.root, kind: .tartanAir).items()[0]
        #expect(item.key == "\(base)/000000" && item.group == base)
        let record = try item.load()
        #expect(same(values(record, "disparity"), [1, 8, nan]) && values(record, "calibration") == [320, 0.25, 0])
    }

    @Test func fallingThings() throws {
        try tree.put(gray([[1, 2]]), "single/x/kitchen_0/000000.left.jpg", "single/x/kitchen_0/000000.right.jpg")
        // 0.6 m and unknown, in tenths of millimetres.
        for side in ["left", "right"] { try tree.put(words([6000, 0]), "single/x/kitchen_0/000000.\(side).depth.png") }
        let item = try DepthScenes(root: tree.root, kind: .fallingThings).items()[0]
        let settings = "single/x/kitchen_0/_camera_settings.json"
        #expect(try #require(failure { _ = try item.load() }).1.contains("_camera_settings.json: not there"))
        try tree.put("{\"camera_settings\": [{\"intrinsic_settings\": {\"fx\": 800.0}}]}", settings)
        let record = try item.load()
        #expect(item.key == "single/x/kitchen_0/000000")
        let found = values(record, "disparity")
        #expect(abs(found[0] - 80) < 1e-4 && found[1].isNaN && values(record, "disparity_right").count == 2)
        try tree.put("{}", settings)
        #expect(try #require(failure { _ = try item.load() }).1.contains("no camera_settings[0]"))
        let empty = try #require(failure { _ = try DepthScenes(root: tree.root, kind: .tartanAir).items() })
        #expect(empty.0 == .missingInput && empty.1.contains("image_left"))
    }
}
