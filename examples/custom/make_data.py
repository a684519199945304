"""Writes scikit-learn's bundled diabetes data (442 patients, 10 measurements, progression after a year) as a CSV file.

python make_data.py diabetes.csv
"""

import sys

from sklearn.datasets import load_diabetes

patients = load_diabetes(as_frame=True, scaled=False)
path = sys.argv[1] if len(sys.argv) > 1 else "diabetes.csv"
patients.frame.rename(columns={"target": "progression"}).to_csv(path, index=False)
print(f"{path}: {len(patients.frame)} rows, {patients.data.shape[1]} features")
