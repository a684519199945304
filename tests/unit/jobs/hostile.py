"""Corpora of what must be refused before anything is looked up: paths and names of variables."""

from __future__ import annotations

BUCKET = "artifacts"
OWN = "tenants/acme/users/ada%40example.com/"
ROOT = f"s3://{BUCKET}/{OWN}"


def _words(text: str) -> list[str]:
    return text.split()


_OTHER_PLACES = [
    f"s3://{BUCKET}",
    f"s3://{BUCKET}/",
    f"s3://{BUCKET}/train.py",
    f"s3://{BUCKET}/tenants/",
    f"s3://{BUCKET}/tenants/acme/",
    f"s3://{BUCKET}/tenants/acme/users/",
    f"s3://{BUCKET}/tenants/acme/users/bob/train.py",
    f"s3://{BUCKET}/tenants/acme/users/ada%40example.com",
    f"s3://{BUCKET}/tenants/acme/users/ada%40example.com2/train.py",
    f"s3://{BUCKET}/tenants/acme/users/ada@example.com/train.py",
    f"s3://{BUCKET}/tenants/acme/users/ADA%40example.com/train.py",
    f"s3://{BUCKET}/tenants/acme/users/ada%2540example.com/train.py",
    f"s3://{BUCKET}/tenants/acme/jobs/1/attempt-1/model.tar.gz",
    f"s3://{BUCKET}/tenants/acme/models/1/model.tar.gz",
    f"s3://{BUCKET}/tenants/acme/shared",
    f"s3://{BUCKET}/tenants/acme/shared2/train.py",
    f"s3://{BUCKET}/tenants/other/shared/train.py",
    f"s3://{BUCKET}/tenants/other/users/ada%40example.com/train.py",
    f"s3://{BUCKET}/tenants/Acme/users/ada%40example.com/train.py",
    f"s3://{BUCKET}/tenants/acme2/users/ada%40example.com/train.py",
    f"s3://{BUCKET}/Tenants/acme/users/ada%40example.com/train.py",
    f"s3://{BUCKET}//{OWN}train.py",
    f"s3://{BUCKET}/./{OWN}train.py",
    f"s3://{BUCKET}/ {OWN}train.py",
    f"s3:/{BUCKET}/{OWN}train.py",
    f"s3:///{BUCKET}/{OWN}train.py",
    f"s3:///{OWN}train.py",
    f"s3://other/{OWN}train.py",
    f"s3://{BUCKET}2/{OWN}train.py",
    f"s3://{BUCKET}./{OWN}train.py",
    f"s3://{BUCKET}.evil.example/{OWN}train.py",
    f"s3://Artifacts/{OWN}train.py",
    f"s3://{BUCKET}:443/{OWN}train.py",
    f"s3://{BUCKET}@evil.example/{OWN}train.py",
    f"s3://evil.example@{BUCKET}/{OWN}train.py",
    f"s3://user:word@{BUCKET}/{OWN}train.py",
    f"s3://{BUCKET}#/{OWN}train.py",
    f"s3://{BUCKET}?/{OWN}train.py",
    f"s3://{BUCKET}\\/{OWN}train.py",
    f"s3:// {BUCKET}/{OWN}train.py",
    f"s3://{BUCKET} /{OWN}train.py",
    f"s3://{BUCKET}%2f{OWN}train.py",
    f"s3://arn:aws:s3:us-east-1:000000000000:accesspoint/x/{OWN}train.py",
    f"s3://../{BUCKET}/{OWN}train.py",
    f"s3://аrtifacts/{OWN}train.py",
    f"s3://artifacts\u200b/{OWN}train.py",
    f"s3://ａrtifacts/{OWN}train.py",
]
_OTHER_SCHEMES = [
    f"{scheme}{rest}"
    for scheme, rest in [
        ("", ""),
        ("", " "),
        ("", "train.py"),
        ("", "/etc/passwd"),
        ("", f"{OWN}train.py"),
        ("", f"//{BUCKET}/{OWN}train.py"),
        ("", f"/{BUCKET}/{OWN}train.py"),
        ("S3://", f"{BUCKET}/{OWN}train.py"),
        ("s3a://", f"{BUCKET}/{OWN}train.py"),
        ("s3n://", f"{BUCKET}/{OWN}train.py"),
        (" s3://", f"{BUCKET}/{OWN}train.py"),
        ("\ts3://", f"{BUCKET}/{OWN}train.py"),
        ("\ns3://", f"{BUCKET}/{OWN}train.py"),
        ("s3 ://", f"{BUCKET}/{OWN}train.py"),
        ("s3:", f"{BUCKET}/{OWN}train.py"),
        ("s3:\\\\", f"{BUCKET}/{OWN}train.py"),
        ("ѕ3://", f"{BUCKET}/{OWN}train.py"),
        ("s３://", f"{BUCKET}/{OWN}train.py"),
        ("s3\u200b://", f"{BUCKET}/{OWN}train.py"),
        ("file://", "/etc/passwd"),
        ("file:", "/etc/passwd"),
        ("FILE://", "/etc/passwd"),
        ("http://", "169.254.169.254/latest/meta-data/iam/security-credentials/"),
        ("http://", "[fd00:ec2::254]/latest/meta-data/"),
        ("http://", "2852039166/latest/meta-data/"),
        ("http://", "0xa9fea9fe/latest/meta-data/"),
        ("http://", "169.254.170.2/v2/credentials"),
        ("http://", "127.0.0.1:8000/api/v1/health"),
        ("http://", "localhost/"),
        ("https://", f"{BUCKET}.s3.amazonaws.com/{OWN}train.py"),
        ("https://", f"s3.amazonaws.com/{BUCKET}/{OWN}train.py"),
        ("https://", "evil.example/train.py"),
        ("ftp://", "evil.example/train.py"),
        ("gs://", f"{BUCKET}/{OWN}train.py"),
        ("gopher://", "127.0.0.1:6379/_"),
        ("data:", "text/plain,print(1)"),
        ("javascript:", "alert(1)"),
        ("jar:file://", "/x.jar!/train.py"),
        ("git+ssh://", "evil.example/x"),
        ("\\\\", "evil.example\\share\\train.py"),
    ]
]
_WALKS = [
    f"{ROOT}{rest}"
    for rest in [
        "..",
        "../",
        "../bob/train.py",
        "../../../other/users/bob/train.py",
        "a/../../bob/train.py",
        "a/..",
        "a/../train.py",
        "./train.py",
        "a/./train.py",
        "a/.",
        "/train.py",
        "a//train.py",
        "a//",
        "//",
        "%2e%2e/bob/train.py",
        "%2E%2E/bob/train.py",
        ".%2e/bob/train.py",
        "%2e./bob/train.py",
        "%2e/train.py",
        "..%2fbob/train.py",
        "..%2Fbob/train.py",
        "%2e%2e%2fbob/train.py",
        "a%2f..%2f..%2fbob/train.py",
        "a%2f%2ftrain.py",
        "%2ftrain.py",
        "%252e%252e/bob/train.py",
        "%25252e%25252e/bob/train.py",
        "%252e%252e%252fbob/train.py",
        "..%5cbob/train.py",
        "%5c..%5cbob/train.py",
        "%255c..%255cbob",
        "..\\bob\\train.py",
        "a\\train.py",
        "%c0%ae%c0%ae/bob/train.py",
        "%c0%af../bob/train.py",
        "%e0%80%ae%e0%80%ae/bob/train.py",
        "．．/bob/train.py",
        "%ef%bc%8e%ef%bc%8e/bob/train.py",
        "․․/bob/train.py",
        "‥/bob/train.py",
        "..／bob/train.py",
        "..%ef%bc%8fbob/train.py",
        "a＼..＼bob",
        "a\0.py",
        "a%00.py",
        "a%2500.py",
        "train.py\0.csv",
        "a\n.py",
        "a%0a.py",
        "a%0d%0aHost:%20evil.example",
        "a\r\nHost: evil.example",
        "a\t.py",
        "a\x7f.py",
        "a\x1b[31m.py",
        "a\u202egpj.py",
        "a\u200b.py",
        "a\u2066.py",
        "a\ufeff.py",
        "a\x85.py",
        "a%e2%80%ae.py",
        "\ue000.py",
        "\ufffe.py",
        "\ufffd.py",
        "x" * 1024,
        "ü" * 600,
    ]
]
PATHS = [*_OTHER_PLACES, *_OTHER_SCHEMES, *_WALKS]

VARIABLES = _words(
    """
    AWS AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN AWS_SECURITY_TOKEN AWS_PROFILE AWS_REGION
    AWS_DEFAULT_REGION AWS_CONFIG_FILE AWS_SHARED_CREDENTIALS_FILE AWS_ROLE_ARN AWS_WEB_IDENTITY_TOKEN_FILE
    AWS_CONTAINER_CREDENTIALS_RELATIVE_URI AWS_CONTAINER_CREDENTIALS_FULL_URI AWS_CONTAINER_AUTHORIZATION_TOKEN
    AWS_EC2_METADATA_SERVICE_ENDPOINT AWS_EC2_METADATA_DISABLED AWS_ENDPOINT_URL AWS_ENDPOINT_URL_S3
    AWS_ENDPOINT_URL_SAGEMAKER AWS_CA_BUNDLE AWS_LAMBDA_RUNTIME_API AWS_BATCH_JOB_ID AWS_DATA_PATH aws_access_key_id
    Aws_Profile AIMATRIX_SPEC_URI AIMATRIX_AGENT_URI AIMATRIX_MLFLOW_TRACKING_URI AIMATRIX_ENV_CACHE AIMATRIX_TOKEN
    aimatrix_spec_uri ECS_CONTAINER_METADATA_URI ECS_CONTAINER_METADATA_URI_V4 ECS_AGENT_URI BOTO_CONFIG
    SM_MODEL_DIR SM_CHANNEL_TRAINING SM_CHANNELS SM_HPS SM_NUM_GPUS SM_HOSTS SM_CURRENT_HOST SM_OUTPUT_DATA_DIR
    SM_TRAINING_ENV SM_USER_ARGS sm_model_dir SAGEMAKER_JOB_NAME SAGEMAKER_PROGRAM SAGEMAKER_SUBMIT_DIRECTORY
    SAGEMAKER_REGION TRAINING_JOB_NAME TRAINING_JOB_ARN MLFLOW_TRACKING_URI MLFLOW_TRACKING_TOKEN
    MLFLOW_TRACKING_INSECURE_TLS MLFLOW_RUN_ID MLFLOW_EXPERIMENT_NAME MLFLOW_RUN_NAME mlflow_tracking_uri
    LD_PRELOAD LD_LIBRARY_PATH LD_AUDIT LD_DEBUG LD_DEBUG_OUTPUT LD_BIND_NOW LD_PROFILE LD_SHOW_AUXV ld_preload Ld_Preload
    LD_LIBRARY_PATH_64 DYLD_INSERT_LIBRARIES DYLD_LIBRARY_PATH DYLD_FRAMEWORK_PATH GLIBC_TUNABLES GCONV_PATH
    MALLOC_TRACE MALLOC_CHECK_ GETCONF_DIR LOCPATH NLSPATH RES_OPTIONS LOCALDOMAIN HOSTALIASES TZDIR
    PYTHONPATH PYTHONHOME PYTHONSTARTUP PYTHONINSPECT PYTHONUSERBASE PYTHONEXECUTABLE PYTHONWARNINGS PYTHONBREAKPOINT
    PYTHONPYCACHEPREFIX PYTHONDONTWRITEBYTECODE PYTHONUNBUFFERED PYTHONIOENCODING PYTHONHASHSEED PYTHONNOUSERSITE
    PYTHONSAFEPATH PYTHONPLATLIBDIR PYTHONMALLOC PYTHON_GIL PYTHON pythonpath PythonPath PIP_INDEX_URL
    PIP_EXTRA_INDEX_URL PIP_TRUSTED_HOST PIP_CONFIG_FILE PIP_TARGET PIP_REQUIRE_VIRTUALENV pip_index_url UV_INDEX_URL
    VIRTUAL_ENV PERL5LIB PERL5OPT RUBYOPT RUBYLIB NODE_OPTIONS JAVA_TOOL_OPTIONS JDK_JAVA_OPTIONS BASH_ENV ENV IFS PS4
    PROMPT_COMMAND PATH path Path HOME home SHELL USER LOGNAME HOSTNAME PWD OLDPWD TMPDIR TMP TEMP tmpdir _
    JOB_ID TRAINING_SCRIPT DATASET_PATH job_id HTTP_PROXY HTTPS_PROXY http_proxy https_proxy NO_PROXY no_proxy ALL_PROXY
    all_proxy FTP_PROXY REQUESTS_CA_BUNDLE CURL_CA_BUNDLE SSL_CERT_FILE SSL_CERT_DIR SSLKEYLOGFILE OPENSSL_CONF
    OPENSSL_MODULES OPENSSL_ENGINES GIT_SSH_COMMAND GIT_SSH CUDA_VISIBLE_DEVICES NVIDIA_VISIBLE_DEVICES
    NVIDIA_DRIVER_CAPABILITIES
"""
)

NOT_NAMES = [
    "",
    " ",
    "A B",
    "A=B",
    "1A",
    "A-B",
    "A.B",
    "A\0",
    "A\n",
    "\nPATH",
    "PATH ",
    " PATH",
    "ÄÖ",
    "ＰＡＴＨ",
    "PATH\u200b",
    "BASH_FUNC_x%%",
    "A" * 257,
    "$(id)",
    "A;B",
    "😀",
]

HARMLESS_VARIABLES = _words(
    """
    EPOCHS LEARNING_RATE MODEL_NAME DEBUG LOG_LEVEL OMP_NUM_THREADS MKL_NUM_THREADS TF_CPP_MIN_LOG_LEVEL KERAS_BACKEND
    XLA_FLAGS NCCL_DEBUG HF_TOKEN WANDB_MODE TORCH_HOME TOKENIZERS_PARALLELISM LDA_TOPICS SMOOTHING PATHS AWSOME HOMEPAGE
    USERNAME ENVIRONMENT MY_PATH _PRIVATE lower_case A a9 LC_ALL TZ TERM
"""
)
