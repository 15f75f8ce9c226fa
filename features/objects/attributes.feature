@needs.object-attributes
Feature: Asking for attributes of objects

  Rule: What is asked for is answered, and nothing else

    Scenario: Some attributes
      Given a bucket
      And "greeting" holds "hello"
      When I ask for the attributes of "greeting"
        | object attributes | ETag, ObjectSize |
      Then its object size is "5"
      And its etag is "5d41402abc4b2a76b9719d911017c592"
      And it tells no storage class

    Scenario: The storage class
      Given a bucket
      And "greeting" holds "hello"
      When I ask for the attributes of "greeting"
        | object attributes | StorageClass |
      Then its storage class is "STANDARD"
      And it tells no object size

    Scenario: An attribute that is none
      Given a bucket
      And "greeting" holds "hello"
      When I ask for the attributes of "greeting"
        | object attributes | Colour |
      Then it is refused with InvalidArgument

    Scenario: Of a key that holds nothing
      Given a bucket
      When I ask for the attributes of "nothing-here"
        | object attributes | ETag |
      Then it is refused with NoSuchKey

    @needs.multipart
    Scenario: The parts of an object that was uploaded in parts
      Given a bucket
      And an upload of "large" with
        | checksum algorithm | CRC32     |
        | checksum type      | COMPOSITE |
      And part 1 is 5 MiB, sent with its CRC32
      And part 2 is "the end", sent with its CRC32
      And the upload is completed
      When I ask for the attributes of "large"
        | object attributes | ObjectParts, ObjectSize |
        | max parts         | 1                       |
      Then the attributes name 2 parts, 1 of them shown
      And its object size is "5242887"
