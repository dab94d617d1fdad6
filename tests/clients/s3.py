"""Moto's server: Amazon S3 as boto3 knows it, with signatures checked. And boto3 itself, to fetch a copy back.

`s3.py serve PORT LEDGER_BUCKET` prints a line of JSON: address, key, secret. Requests with a wrong signature are refused.
`s3.py fetch ADDRESS KEY SECRET BUCKET DIRECTORY` writes every object below DIRECTORY, as Amazon's own client reads it.
`s3.py retention ADDRESS KEY SECRET BUCKET` prints how many objects are locked, and in which mode.
`s3.py leave ADDRESS KEY SECRET BUCKET OBJECT` puts an object that nobody asked for.
`s3.py empty ADDRESS KEY SECRET BUCKET` deletes every object.
"""

import json
import os
import pathlib
import shutil
import sys
import time

import boto3
from botocore.config import Config


def client(kind, address, key, secret):
    return boto3.client(
        kind,
        endpoint_url=address,
        region_name="us-east-1",
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        config=Config(s3={"addressing_style": "path"}),
    )


def serve(port, bucket):
    # Until the user of the test is there, nobody is asked who he is.
    os.environ["INITIAL_NO_AUTH_ACTION_COUNT"] = "4"
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=int(port), verbose=False)
    server.start()
    address = f"http://127.0.0.1:{server.get_host_and_port()[1]}"
    iam = client("iam", address, "nobody", "nobody")
    iam.create_user(UserName="gateway")
    policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}
    iam.put_user_policy(UserName="gateway", PolicyName="s3", PolicyDocument=json.dumps(policy))
    made = iam.create_access_key(UserName="gateway")["AccessKey"]
    key, secret = made["AccessKeyId"], made["SecretAccessKey"]
    client("s3", address, key, secret).create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=True)
    print(json.dumps({"address": address, "key": key, "secret": secret}), flush=True)
    time.sleep(600)


def objects(s3, bucket):
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket):
        for one in page.get("Contents", []):
            yield one["Key"]


def fetch(s3, bucket, directory):
    """All that is there. An edge that is deleted between being listed and being read has made room for something else."""
    for _ in range(20):
        try:
            for key in objects(s3, bucket):
                path = pathlib.Path(directory, key)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
            return
        except s3.exceptions.NoSuchKey:
            shutil.rmtree(directory)
            pathlib.Path(directory).mkdir()
    raise SystemExit("what is listed is never there")


def retention(s3, bucket):
    modes = [s3.head_object(Bucket=bucket, Key=key).get("ObjectLockMode") for key in objects(s3, bucket)]
    print(json.dumps([mode for mode in modes if mode]))


def leave(s3, bucket, key):
    s3.put_object(Bucket=bucket, Key=key, Body=b"left")


def empty(s3, bucket):
    for key in list(objects(s3, bucket)):
        s3.delete_object(Bucket=bucket, Key=key)


word, *rest = sys.argv[1:]
if word == "serve":
    serve(*rest)
else:
    address, key, secret, *rest = rest
    {"fetch": fetch, "retention": retention, "leave": leave, "empty": empty}[word](client("s3", address, key, secret), *rest)
