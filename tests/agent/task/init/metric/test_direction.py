"""The direction of a metric by its name: the last known word decides, and unknown names have none."""

import pytest

from agent.errors import UsageError
from agent.task.init.metric.direction import given_goal, known_goal, names_a_metric

LOWER = """
    val_loss; valLoss; valloss; val dice loss; val_iou_loss; test f1 error; val precision_loss; recall error
    reward loss; top-5 error; err_top1; mae score; val mae score; MSE; RMSE; ppl; validPPL; perplexity; bits per byte
    bits/dim; bpb; bpc; FID; FID score; WER; NLL; negative log likelihood; cross_entropy; crossEntropy; Brier score
    1 - accuracy; 1-acc; neg_accuracy; error rate; mean rank; HD95; LPIPS; val_kl_loss; accuracy_loss_ratio; KL; regret
    false positive rate
"""
HIGHER = """
    Acc@1; acc_best; val/acc_best; 'eval_accuracy':; valAcc; testAUC; ROC-AUC; AUROC; mAP; mAP50-95; mAP@0.5; AP50; PSNR
    SSIM; SI-SDR; episodic_return=; episode_reward; ep_rew_mean; mean reward; top1; top-5; top 1 acc; loss_acc; EM
    exact match; ROUGE-L; rougeL; rouge1; BLEU; F1-macro; macroF1; R2; r2_score; mIoU; meanIoU; IoU; dice; NDCG@10; MRR
    Hits@10; win rate; success_rate; score; val_log_likelihood; neg_mean_squared_error; neg_log_loss
    explained_variance; accuracy score; kappa
"""
UNKNOWN = "val_zorp; time; lr; val_entropy; step; d'; IS; epoch; validation; ratio; neg loss"


def names(text: str) -> list[str]:
    return [name.strip() for line in text.strip().splitlines() for name in line.split("; ")]


@pytest.mark.parametrize("name", names(LOWER))
def test_a_loss_is_minimised_whatever_it_is_named_after(name: str) -> None:
    assert known_goal(name) == "minimise"


@pytest.mark.parametrize("name", names(HIGHER))
def test_a_score_is_maximised(name: str) -> None:
    assert known_goal(name) == "maximise"


@pytest.mark.parametrize("name", names(UNKNOWN))
def test_nothing_is_guessed_of_other_names(name: str) -> None:
    assert known_goal(name) is None


def test_common_words_alone_name_no_metric() -> None:
    assert not any(map(names_a_metric, ("pass", "match", "map", "top", "hit", "wins", "rank")))
    assert all(map(names_a_metric, ("mAP", "top1", "Hits@10", "pass@1", "score", "loss", "win rate")))


def test_the_user_may_spell_it_either_way() -> None:
    given = [given_goal(text) for text in ("minimise", "Minimize", "max", "maximise", None)]
    assert given == ["minimise", "minimise", "maximise", "maximise", None]
    with pytest.raises(UsageError, match="--goal higher: write minimise or maximise"):
        given_goal("higher")
