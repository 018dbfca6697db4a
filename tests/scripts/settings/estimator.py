"""An estimator of scikit-learn: keywords of its constructor."""

from sklearn.ensemble import GradientBoostingClassifier

model = GradientBoostingClassifier(n_estimators=50, learning_rate=0.1, max_depth=3, subsample=0.8, verbose=1)
model.fit([[0.0], [1.0]] * 8, [0, 1] * 8)
print(f"val loss {1 - model.score([[0.0]], [0]):.4f}")
