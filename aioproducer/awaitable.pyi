import asyncio

from aioproducer.records import RecordMetadata

FutureOfMetadata = asyncio.Future[RecordMetadata]
