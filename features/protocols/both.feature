@needs.other-protocol
Feature: One store behind two protocols

  Rule: What one protocol writes the other reads

    Scenario: An object
      Given a bucket
      And "greeting" holds "hello", put over the other protocol
      When I read "greeting"
      Then I get "hello"
      And its metadata by is "other"

    Scenario: A large object
      Given a bucket
      And "large" holds 9 MiB, put over the other protocol
      When I read "large"
      Then I get 9 MiB

    Scenario: The other way round
      Given a bucket
      And "greeting" holds "hello" with
        | content type    | text/x-greeting |
        | metadata colour | green           |
      When I read "greeting" over the other protocol
      Then I get "hello"
      And its content type is "text/x-greeting"
      And its metadata colour is "green"

    Scenario: A deletion
      Given a bucket
      And "greeting" holds "hello"
      When I delete "greeting" over the other protocol
      Then "greeting" does not exist

    @needs.multipart
    Scenario: An object that was uploaded in parts
      Given a bucket
      And an upload of "large"
      And part 1 is 5 MiB of seed 1
      And part 2 is "the end"
      And the upload is completed
      When I read "large" over the other protocol
      Then it succeeds
      And its content length is "5242887"

    Scenario Outline: A key of <what> is the same key on both
      Given a bucket
      And "<key>" holds "here", put over the other protocol
      When I read "<key>"
      Then I get "here"

      Examples:
        | what                      | key         |
        | letters beyond a to z     | größe/日本   |
        | a plus and a space        | a+b c       |
        | a percent sign            | 100%25      |
        | dots that look like paths | a/../b/./c  |
        | an empty segment          | a//b        |
