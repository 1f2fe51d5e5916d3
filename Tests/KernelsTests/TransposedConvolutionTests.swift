import Kernels
import Tensors
import Testing

let transposedConvolutionCases: [LayerCase] = [
    // kernel = stride: tiles
    LayerCase(n: 2, h: 3, w: 5, ci: 6, co: 4, kh: 2, kw: 2, s: 2, isTransposed: true),
    LayerCase(n: 2, h: 4, w: 3, ci: 5, co: 8, kh: 4, kw: 4, s: 4, isTransposed: true),
    LayerCase(n: 1, h: 3, w: 2, ci: 7, co: 32, kh: 8, kw: 8, s: 8, isTransposed: true),
    LayerCase(n: 1, h: 2, w: 3, ci: 9, co: 40, kh: 16, kw: 16, s: 16, isTransposed: true),
    LayerCase(n: 2, h: 31, w: 37, ci: 3, co: 5, kh: 2, kw: 2, s: 2, isTransposed: true),
    LayerCase(h: 5, w: 4, ci: 3, co: 2, kh: 1, kw: 1, isTransposed: true),
    LayerCase(h: 1, w: 1, ci: 1, co: 1, kh: 2, kw: 2, s: 2, isTransposed: true),
    LayerCase(n: 3, h: 4, w: 7, ci: 9, co: 40, kh: 16, kw: 16, s: 16, isTransposed: true),
    // general
    LayerCase(n: 2, h: 5, w: 4, ci: 3, co: 6, kh: 3, kw: 3, s: 2, p: 1, isTransposed: true),
    LayerCase(n: 2, h: 5, w: 6, ci: 4, co: 3, kh: 4, kw: 4, s: 2, p: 1, isTransposed: true),
    LayerCase(h: 4, w: 5, ci: 3, co: 2, kh: 3, kw: 3, s: 1, p: 1, isTransposed: true),
    LayerCase(h: 4, w: 5, ci: 3, co: 2, kh: 5, kw: 2, s: 3, p: 1, isTransposed: true),
    LayerCase(h: 4, w: 3, ci: 2, co: 3, kh: 2, kw: 2, s: 3, isTransposed: true),
    LayerCase(h: 6, w: 6, ci: 2, co: 3, kh: 2, kw: 2, s: 2, p: 1, isTransposed: true),
    LayerCase(h: 5, w: 5, ci: 2, co: 3, kh: 1, kw: 1, s: 2, isTransposed: true),
    LayerCase(n: 2, h: 23, w: 19, ci: 3, co: 2, kh: 4, kw: 4, s: 2, p: 1, isTransposed: true),
]

@Suite("Transposed convolution")
struct TransposedConvolutionTests {
    @Test("agrees with the definition", arguments: transposedConvolutionCases)
    func definition(layer: LayerCase) {
        let run = LayerRun(layer)
        for withBias in [false, true] {
            run.run(threads: 2, withBias: withBias)
            run.check(withBias: withBias)
        }
    }

    @Test(
        "gives the same bits for any number of threads and at every instruction level",
        arguments: transposedConvolutionCases)
    func bits(layer: LayerCase) {
        let run = LayerRun(layer)
        var expected: [Bool: [[UInt32]]] = [:]
        for level in InstructionLevel.allCases.filter({ $0 <= .best }) {
            for threads in [1, 2, 3] {
                run.run(threads: threads, level: level)
                let found = [run.output.bits, run.inputGradient.bits, run.weightGradient.bits]
                if expected[level.fusesMultiplyAdd] == nil { expected[level.fusesMultiplyAdd] = found }
                let isSame = found == expected[level.fusesMultiplyAdd]
                #expect(isSame, "\(threads) threads, \(level)")
            }
        }
    }

    @Test("adjoint identities", arguments: transposedConvolutionCases)
    func adjoint(layer: LayerCase) { checkAdjoint(layer) }
}
