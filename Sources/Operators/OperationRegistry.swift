import Execution

/// All operations. Suites over this list check every operation's examples; an operation that is missing here or has no
/// examples fails them.
public enum OperationRegistry {
    public static let all: [any Runnable.Type] = [
        Conv2D.self, Conv2DInputGradient.self, Conv2DWeightGradient.self, ColumnSum.self,
        TransposedConv2D.self, TransposedConv2DInputGradient.self, TransposedConv2DWeightGradient.self,
        DepthwiseConv2D.self, DepthwiseConv2DInputGradient.self, DepthwiseConv2DWeightGradient.self,
        BatchNorm.self, BatchNormGradient.self, BatchNormInference.self,
        ReLU.self, ReLUGradient.self,
        MaxPool2D.self, MaxPool2DGradient.self,
        Concat.self, Split.self, Fill.self, LinearCombination.self,
        Dropout.self, Softmax.self, SoftmaxGradient.self,
        Selection.self, SelectionProbabilityGradient.self, SelectionImageGradient.self,
        ChannelDot.self, ChannelDotGradient.self,
        AbsoluteDifferenceMean.self, AbsoluteDifferenceMeanGradient.self,
        Smoothness.self, SmoothnessGradient.self,
        Sigmoid.self, SigmoidGradient.self, CrossEntropyMean.self, CrossEntropyMeanGradient.self,
        RootMeanSquareError.self, RootMeanSquareErrorGradient.self, DiceLoss.self, DiceLossGradient.self,
        PairConv2D.self, PairConv2DInputGradient.self, PairConv2DWeightGradient.self,
        SeparableConv2D.self, SeparableConv2DGradient.self,
        UpsampleSum.self, UpsampleGradient.self, NormalizedDropout.self, PairDropout.self,
        SoftmaxSelection.self, SoftmaxSelectionGradient.self,
        BatchNormStatistics.self, BatchNormGradientSums.self, BatchNormReLUGradient.self,
        AveragePool2D.self, AveragePool2DGradient.self, LeakyReLU.self, LeakyReLUGradient.self,
        NumberMapping.self, NumberMappingGradient.self, Crop.self, CropGradient.self,
        BilinearResize.self, BilinearResizeGradient.self,
        ResponseNorm.self, ResponseNormGradient.self,
        Linear.self, LinearInputGradient.self, LinearWeightGradient.self, SampleSum.self,
        NormReLU.self, NormReLUGradient.self, NormReLUInference.self,
        MaskedDifference.self, MaskedDifferenceGradient.self, EdgeDifference.self, EdgeDifferenceGradient.self,
        Dissimilarity.self, DissimilarityGradient.self, EdgeScore.self, EdgeScoreGradient.self,
        WeightedDifference.self, WeightedDifferenceGradient.self, BoxDissimilarity.self, BoxDissimilarityGradient.self,
        Coverage.self, ViewConsistency.self, ViewConsistencyGradient.self, PeakDot.self, PeakDotGradient.self,
    ]
}
