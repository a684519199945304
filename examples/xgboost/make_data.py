"""Writes scikit-learn's bundled breast-cancer data (569 tumours, 30 measurements, benign or malignant) as a CSV file.

python make_data.py breast_cancer.csv
"""

import sys

from sklearn.datasets import load_breast_cancer

tumours = load_breast_cancer(as_frame=True)
path = sys.argv[1] if len(sys.argv) > 1 else "breast_cancer.csv"
tumours.frame.rename(columns={"target": "benign"}).to_csv(path, index=False)
print(f"{path}: {len(tumours.frame)} rows, {tumours.data.shape[1]} features")
