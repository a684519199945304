"""Writes scikit-learn's bundled iris data (150 flowers, 4 measurements, 3 species) as a CSV file.

The species comes first and there is no header line, as SageMaker's built-in algorithms and their examples have it.

    python make_data.py iris.csv
"""

import sys

from sklearn.datasets import load_iris

iris = load_iris(as_frame=True)
path = sys.argv[1] if len(sys.argv) > 1 else "iris.csv"
iris.frame[["target", *iris.feature_names]].to_csv(path, index=False, header=False)
print(f"{path}: {len(iris.frame)} rows, {iris.data.shape[1]} features")
