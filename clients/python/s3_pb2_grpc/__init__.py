"""The stubs of all three services under the one name that clients import; protoc's empty s3_pb2_grpc.py stands behind it."""

from bucket_pb2_grpc import *
from multipart_pb2_grpc import *
from object_pb2_grpc import *
